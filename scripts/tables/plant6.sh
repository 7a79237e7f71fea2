#!/usr/bin/env bash
# The published table on Plant-6. bash scripts/tables/plant6.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table plant6 "$@"
