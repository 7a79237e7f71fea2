#!/usr/bin/env bash
# Says what is there of a data set, and what is wrong with it. bash scripts/datasets/check.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/datasets/check.py" "$@"
