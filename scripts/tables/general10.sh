#!/usr/bin/env bash
# The published table on General-10. bash scripts/tables/general10.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table general10 "$@"
