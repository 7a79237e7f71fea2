#!/usr/bin/env bash
# Starts a web page that classifies photographs with what was trained. bash scripts/demo.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" demo "$@"
