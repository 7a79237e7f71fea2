#!/usr/bin/env bash
# The published table's methods on Garden-8, which comes with this repository. bash scripts/tables/garden8.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_with=tables/main.py
setup_for=(garden8 "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/$setup_with" "${setup_for[@]}"
