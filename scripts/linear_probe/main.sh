#!/usr/bin/env bash
# Runs LP-CLIP, a linear probe on CLIP's image features, on a dataset or collection. bash scripts/linear_probe/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(linear_probe "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
