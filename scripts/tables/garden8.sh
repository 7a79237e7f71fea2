#!/usr/bin/env bash
# The published table's methods on Garden-8, which comes with this repository. bash scripts/tables/garden8.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table garden8 "$@"
