#!/usr/bin/env bash
# All checks, in the order of their speed: format, lint, types, tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin

step() { printf '\n== %s\n' "$*"; }

step "format (make format mends it)"
"$bin/ruff" format --check .
step "lint"
"$bin/ruff" check .
step "types"
"$bin/mypy"
step "tests, warnings as errors"
for command in fluidsynth jackd pulseaudio ecasound chromium; do
    if ! command -v "$command" >/dev/null; then
        echo "Some tests need $command and will fail; CONTRIBUTING.md says what to install."
    fi
done
tests() {
    if ! "$bin/python" -m pytest "$@"; then
        # Some tests play in real time, and a busy machine may be late once; what is broken fails
        # again.
        step "what failed, once more"
        "$bin/python" -m pytest --last-failed --last-failed-no-failures none "$@"
    fi
}
if (($#)); then
    tests "$@"
else
    # What plays in real time has the machine for itself; the rest takes a core each.
    tests --ignore=tests/engine
    OMP_NUM_THREADS=1 tests tests/engine --numprocesses=auto --maxprocesses=4 --dist=loadfile
fi
