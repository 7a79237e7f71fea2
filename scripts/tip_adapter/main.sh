#!/usr/bin/env bash
# Runs Tip-Adapter or Tip-Adapter-F, on a dataset or collection. bash scripts/tip_adapter/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" tip_adapter "$@"
