#!/usr/bin/env bash
# Runs PLOT, on a dataset or collection. bash scripts/plot/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" plot "$@"
