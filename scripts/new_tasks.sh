#!/usr/bin/env bash
# Trains a method on some tasks of a collection and tests it on the others. bash scripts/new_tasks.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/launch.sh" new_tasks "$@"
