#!/usr/bin/env bash
# Shows or empties the bank of image features. bash scripts/bank.sh --help tells how.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/scripts/bank.py" "$@"
