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
for program in ffmpeg fluidsynth; do
    if ! command -v "$program" >/dev/null; then
        printf 'Some tests need %s; type: sudo apt-get install ffmpeg fluidsynth fluid-soundfont-gm\n' "$program"
    fi
done
"$bin/python" -m pytest "$@"
