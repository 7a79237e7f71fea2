#!/usr/bin/env bash
# SoftCPT's variants in one table. bash scripts/tables/variants.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table variants "$@"
