#!/usr/bin/env bash
# Shows all runs of a collection on one HTML page. bash scripts/report.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" report "$@"
