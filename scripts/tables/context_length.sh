#!/usr/bin/env bash
# SoftCPT with contexts of several lengths. bash scripts/tables/context_length.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table context_length "$@"
