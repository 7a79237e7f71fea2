#!/usr/bin/env bash
# Classifies photographs with what was trained. bash scripts/predict.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" predict "$@"
