#!/usr/bin/env bash
# Methods on tasks that they were not trained on. bash scripts/tables/new_tasks.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table new_tasks "$@"
