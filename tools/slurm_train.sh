#!/usr/bin/env bash
# Train under slurm: tools/slurm_train.sh PARTITION JOB CONFIG GPUS [further words of xtune train]
# GPUS_PER_NODE (8) and SRUN_ARGS may be set. One torchrun a host; they meet on the first one.
set -euo pipefail
partition=${1:?PARTITION JOB CONFIG GPUS ...} job=${2:?} config=${3:?} gpus=${4:?}
per_node=$((gpus < ${GPUS_PER_NODE:-8} ? gpus : ${GPUS_PER_NODE:-8}))
nodes=$(((gpus + per_node - 1) / per_node))
train=$(cd "$(dirname "$0")" && pwd)/train.py
export NNODES=$nodes NPROC_PER_NODE=$per_node PORT=${PORT:-29500}
exec srun -p "$partition" --job-name="$job" --nodes="$nodes" --ntasks-per-node=1 \
    --gres="gpu:$per_node" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    bash -c 'NODE_RANK=$SLURM_NODEID ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1) \
        exec "${PYTHON:-$(command -v python || command -v python3)}" "$@"' _ "$train" "$config" "${@:5}"
