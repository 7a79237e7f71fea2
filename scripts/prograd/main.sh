#!/usr/bin/env bash
# Runs ProGrad, on a dataset or collection. bash scripts/prograd/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" prograd "$@"
