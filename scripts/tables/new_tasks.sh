#!/usr/bin/env bash
# Methods on tasks that they were not trained on. bash scripts/tables/new_tasks.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
setup_with=tables/main.py
setup_for=(new_tasks "$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/$setup_with" "${setup_for[@]}"
