#!/usr/bin/env bash
# Runs CoOp, on a dataset or collection. bash scripts/coop/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" coop "$@"
