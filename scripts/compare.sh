#!/usr/bin/env bash
# Methods in one table: zero-shot CLIP, CoOp per task, CoOp shared and SoftCPT, or any. bash scripts/compare.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
setup_for=(compare "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
