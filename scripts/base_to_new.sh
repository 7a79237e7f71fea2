#!/usr/bin/env bash
# Trains a method on the first half of every task's classes and tests it on both halves. bash scripts/base_to_new.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
setup_for=(base_to_new "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
