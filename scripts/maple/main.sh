#!/usr/bin/env bash
# Runs MaPLe, on a dataset or collection. bash scripts/maple/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" maple "$@"
