#!/usr/bin/env bash
# SoftCPT with contexts of several lengths. bash scripts/tables/context_length.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_with=tables/main.py
setup_for=(context_length "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/$setup_with" "${setup_for[@]}"
