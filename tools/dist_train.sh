#!/usr/bin/env bash
# Train on several devices of this host: tools/dist_train.sh CONFIG GPUS [further words of xtune train]
set -euo pipefail
config=${1:?CONFIG GPUS ...} gpus=${2:?CONFIG GPUS ...}
NPROC_PER_NODE=$gpus exec "${PYTHON:-$(command -v python || command -v python3)}" "$(dirname "$0")/train.py" "$config" "${@:3}"
