#!/usr/bin/env bash
# Opens a page in the browser that classifies photographs with what was trained. bash scripts/demo.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" demo "$@"
