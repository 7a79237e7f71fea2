#!/usr/bin/env bash
# Runs ProtoNet, class means of image features, on a dataset or collection. bash scripts/protonet/main.sh --help lists the options.
exec bash "$(dirname "${BASH_SOURCE[0]}")/../launch.sh" protonet "$@"
