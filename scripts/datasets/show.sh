#!/usr/bin/env bash
# Draws contact sheets of a data set, one per task. bash scripts/datasets/show.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/datasets/show.py" "$@"
