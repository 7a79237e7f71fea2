#!/usr/bin/env bash
# Compares methods in one table. bash scripts/compare.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" compare "$@"
