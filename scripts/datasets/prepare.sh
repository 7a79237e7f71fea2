#!/usr/bin/env bash
# Fetches and unpacks a data set, or says how to get it. bash scripts/datasets/prepare.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" prepare "$@"
