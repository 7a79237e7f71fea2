#!/usr/bin/env bash
# What the other scripts call: checks a command's arguments, sets the environment up, and runs the command.
# bash scripts/launch.sh <command> [arguments]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
setup_for=("$@")
. "$root/scripts/setup_env.sh"
exec "$SOFTCPT_PYTHON" "$root/launch.py" "$@"
