#!/usr/bin/env bash
# The published table on RS-8. bash scripts/tables/rs8.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table rs8 "$@"
