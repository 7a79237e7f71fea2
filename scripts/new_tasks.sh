#!/usr/bin/env bash
# Trains a method on some tasks of a collection and tests it on the others. bash scripts/new_tasks.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
setup_for=(new_tasks "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/launch.py" "${setup_for[@]}"
