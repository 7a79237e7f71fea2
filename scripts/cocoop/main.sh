#!/usr/bin/env bash
# Runs CoCoOp, on a dataset or collection. bash scripts/cocoop/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" cocoop "$@"
