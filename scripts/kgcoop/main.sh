#!/usr/bin/env bash
# Runs KgCoOp, on a dataset or collection. bash scripts/kgcoop/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" kgcoop "$@"
