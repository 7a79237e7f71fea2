#!/usr/bin/env bash
# Runs the tests: bash scripts/test.sh [pytest's options], e.g. bash scripts/test.sh -k launch -x
# First ruff (lint and format) and mypy, where they are installed (requirements-dev.txt). With pytest-xdist, test files run side by
# side, one on each of up to four processors.
set -euo pipefail
case "${1:-}" in
    -h | --help)
        sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
. "$root/scripts/setup_env.sh"
cd "$root"

status=0
# Before the tests, so that pytest's closing line stays the last one.
tool() { # module arguments...
    if "$SOFTCPT_PYTHON" -m "$1" --version >/dev/null 2>&1; then "$SOFTCPT_PYTHON" -m "$@" || status=$?; fi
}
tool ruff check .
tool ruff format --check .
tool mypy
# The tests' towers are tiny: more threads than one only wait for each other.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
side_by_side=()
if "$SOFTCPT_PYTHON" -c 'import xdist' 2>/dev/null; then side_by_side=(--numprocesses logical --maxprocesses 4 --dist loadfile); fi
"$SOFTCPT_PYTHON" -m pytest -q tests ${side_by_side[@]+"${side_by_side[@]}"} "$@" || status=$?
exit "$status"
