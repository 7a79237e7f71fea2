#!/usr/bin/env bash
# Runs zero-shot CLIP, which learns nothing, on a dataset or collection. bash scripts/zsclip/main.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_for=(zsclip "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
