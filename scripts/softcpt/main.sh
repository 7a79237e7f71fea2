#!/usr/bin/env bash
# Runs SoftCPT, on a dataset or collection. bash scripts/softcpt/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" softcpt "$@"
