#!/usr/bin/env bash
# Runs CoCoOp, a baseline, on a dataset or collection. bash scripts/cocoop/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(cocoop "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
