#!/usr/bin/env bash
# Makes the environment .venv and installs Sidekeys into it, or does nothing where that is done.
#
#   scripts/setup.sh [EXTRAS]        EXTRAS as in pip, such as dev,essentia
#   PYTHON=python3.11 scripts/setup.sh    takes this Python instead of the newest that fits
set -euo pipefail
cd "$(dirname "$0")/.."

extras="${1:-}"
pip_version_of() { sed -n "s/^$1==\([^;]*\).*/\1/p" constraints.txt | head -n 1; }
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}
fail() {
    printf 'sidekeys: %s\n' "$*" >&2
    exit 1
}

choose_python() {
    local name
    if [[ -n "${PYTHON:-}" ]]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python from 3.10 to 3.13; name another one."
        printf '%s\n' "$PYTHON"
        return
    fi
    # 3.13 comes last: not every package of a DAW's surroundings has wheels for it.
    for name in python3.12 python3.11 python3.10 python3 python3.13 python; do
        if fits "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    fail "Python 3.10, 3.11 or 3.12 is needed; type: sudo apt-get install python3 python3-venv"
}

# Debian and Ubuntu pack what makes environments apart from Python itself.
provide_venv() {
    local python="$1" package line
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        return
    fi
    package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    line="apt-get install --yes --no-install-recommends $package"
    if command -v apt-get >/dev/null; then
        if [[ "$(id -u)" == 0 ]]; then
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive $line
        elif command -v sudo >/dev/null; then
            printf 'sidekeys: installing %s, which makes environments\n' "$package"
            { sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive $line; } || true
        fi
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make environments yet; type: sudo $line"
}

# What an installation depends on; it is done again when any of it changes.
recipe="$(cat pyproject.toml constraints.txt scripts/setup.sh | cksum) $PWD"
stamp=".venv/.sidekeys-${extras:-plain}"
minor_of() { "$1" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null; }
environment_fits() {
    fits .venv/bin/python && [[ -x .venv/bin/pip ]] &&
        [[ -z "${PYTHON:-}" || "$(minor_of "$PYTHON")" == "$(minor_of .venv/bin/python)" ]]
}
if environment_fits && [[ -f "$stamp" && "$(cat "$stamp")" == "$recipe" ]]; then
    exit 0
fi

if ! environment_fits; then
    python="$(choose_python)"
    provide_venv "$python"
    printf 'sidekeys: making the environment .venv with %s\n' "$("$python" --version)"
    "$python" -m venv --clear .venv
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
printf 'sidekeys: installing into .venv; the first time takes minutes\n'
# PyTorch comes first and alone, so that nothing else chooses a version of it.
.venv/bin/python -m pip install --quiet --constraint constraints.txt "torch==$(pip_version_of torch)"
.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".${extras:+[$extras]}"
printf '%s' "$recipe" >"$stamp"
printf '%s' "$recipe" >.venv/.sidekeys-plain
