#!/usr/bin/env bash
# Runs ProtoNet on CLIP's image features on a dataset or collection. bash scripts/protonet/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(protonet "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
