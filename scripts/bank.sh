#!/usr/bin/env bash
# Shows or empties the bank of image features. bash scripts/bank.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" bank "$@"
