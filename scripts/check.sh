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
if ! command -v fluidsynth >/dev/null; then
    echo 'The tests of beat tracking and training need fluidsynth; type: sudo apt-get install fluidsynth'
fi
"$bin/python" -m pytest "$@"
