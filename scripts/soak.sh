#!/usr/bin/env bash
# Tests integrity for about ten minutes: kills runs, makes writes fail, damages inputs, and prints one table.
# bash scripts/soak.sh [--inputs 500] [--kills 60] [--writes 60] [--seed 0] [--only KIND] [--number N] [--jobs N] [--verbose]
# A failure prints the KIND and N that reproduce it. docs/reliability.md explains the table.
set -euo pipefail
case "${1:-}" in
    -h | --help)
        sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
esac
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
. "$root/scripts/setup_env.sh"
cd "$root"
exec "$SOFTCPT_PYTHON" -m tests.soak "$@"
