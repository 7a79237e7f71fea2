#!/usr/bin/env bash
# Runs zero-shot CLIP, which learns nothing, on a dataset or collection. bash scripts/zsclip/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" zsclip "$@"
