#!/usr/bin/env bash
# Runs any method by its name, plug-ins included, or chooses one for a dataset. bash scripts/train.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" train "$@"
