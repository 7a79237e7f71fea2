#!/usr/bin/env bash
# Runs CLIP-LoRA, on a dataset or collection. bash scripts/clip_lora/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" clip_lora "$@"
