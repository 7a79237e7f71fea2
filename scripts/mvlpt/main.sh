#!/usr/bin/env bash
# Runs MVLPT, on a dataset or collection. bash scripts/mvlpt/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" mvlpt "$@"
