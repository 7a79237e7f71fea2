#!/usr/bin/env bash
# Runs ProGrad, CoOp by gradients that agree with zero-shot CLIP, on a dataset or collection. bash scripts/prograd/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(prograd "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
