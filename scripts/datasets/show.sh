#!/usr/bin/env bash
# Draws contact sheets of a data set, one per task. bash scripts/datasets/show.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" show "$@"
