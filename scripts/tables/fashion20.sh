#!/usr/bin/env bash
# The published table on Fashion-20. bash scripts/tables/fashion20.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table fashion20 "$@"
