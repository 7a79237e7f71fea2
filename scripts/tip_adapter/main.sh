#!/usr/bin/env bash
# Runs Tip-Adapter or Tip-Adapter-F on a dataset or collection. bash scripts/tip_adapter/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(tip_adapter "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
