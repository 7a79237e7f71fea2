#!/usr/bin/env bash
# Methods on several CLIP towers. bash scripts/tables/backbones.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table backbones "$@"
