#!/usr/bin/env bash
# Runs the tests: bash scripts/test.sh [pytest's options], e.g. bash scripts/test.sh -k launch -x
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
. "$root/scripts/setup_env.sh"
cd "$root"

status=0
# Before the tests, so that pytest's closing line stays the last one.
if "$SOFTCPT_PYTHON" -m ruff --version >/dev/null 2>&1; then
    "$SOFTCPT_PYTHON" -m ruff check . || status=$?
elif command -v ruff >/dev/null 2>&1; then
    ruff check . || status=$?
fi
"$SOFTCPT_PYTHON" -m pytest -q tests "$@" || status=$?
exit "$status"
