#!/usr/bin/env bash
# Trains on the GPUs of this machine, a process on each: scripts/train_many_gpus.sh model=vqvae data=photos
# GPUS=2 takes two of them; else all that CUDA_VISIBLE_DEVICES names, or all there are.
set -euo pipefail

if [[ -n "${GPUS:-}" ]]; then
    gpus="$GPUS"
elif [[ -n "${CUDA_VISIBLE_DEVICES:-}" ]]; then
    commas="${CUDA_VISIBLE_DEVICES//[^,]/}"
    gpus=$((${#commas} + 1))
else
    # A line a GPU; lines of its MIG slices are indented.
    gpus="$( (nvidia-smi -L 2>/dev/null || true) | grep -c '^GPU ' || true)"
fi
if [[ ! "$gpus" =~ ^[1-9][0-9]*$ ]]; then
    echo "train_many_gpus.sh: GPUS=$gpus must be a number of GPUs, at least 1" >&2
    exit 2
fi
# torchrun would give each process one thread, where the CPU work of each has its share of the cores.
cores="$(nproc)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > gpus ? cores / gpus : 1))}"
exec torchrun --standalone --nproc-per-node="$gpus" -m sparsefast train "$@"
