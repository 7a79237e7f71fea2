#!/usr/bin/env bash
# Runs KgCoOp, CoOp held near to hand-written prompts, on a dataset or collection. bash scripts/kgcoop/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(kgcoop "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
