#!/usr/bin/env bash
# Methods on several CLIP towers. bash scripts/tables/backbones.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_with=tables/main.py
setup_for=(backbones "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/$setup_with" "${setup_for[@]}"
