#!/usr/bin/env bash
# Fetches and unpacks a data set, or says how to get it. bash scripts/datasets/prepare.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/datasets/prepare.py" "$@"
