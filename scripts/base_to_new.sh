#!/usr/bin/env bash
# Trains a method on the first half of every task's classes and tests it on both halves. bash scripts/base_to_new.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" base_to_new "$@"
