#!/usr/bin/env bash
# Methods on base classes and on new ones. bash scripts/tables/base_to_new.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_with=tables/main.py
setup_for=(base_to_new "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/$setup_with" "${setup_for[@]}"
