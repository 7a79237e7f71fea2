#!/usr/bin/env bash
# Methods on base classes and on new ones. bash scripts/tables/base_to_new.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" table base_to_new "$@"
