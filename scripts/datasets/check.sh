#!/usr/bin/env bash
# Lists what a data set has on disk, and what is wrong with it. bash scripts/datasets/check.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" check "$@"
