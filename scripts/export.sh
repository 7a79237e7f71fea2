#!/usr/bin/env bash
# Writes what was trained into a folder that classifies without this repository. bash scripts/export.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" export "$@"
