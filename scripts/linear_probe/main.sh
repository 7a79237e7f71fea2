#!/usr/bin/env bash
# Runs LP-CLIP, a linear probe on image features, on a dataset or collection. bash scripts/linear_probe/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" linear_probe "$@"
