#!/usr/bin/env bash
# Runs PromptSRC, on a dataset or collection. bash scripts/promptsrc/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" promptsrc "$@"
