#!/usr/bin/env bash
# One HTML page of all runs of a collection, and on demand its tables and figures. bash scripts/report.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/report.py" "$@"
