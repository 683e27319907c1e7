#!/usr/bin/env bash
# Trains on one GPU: scripts/train_one_gpu.sh model=vqvae data=photos train.max_epochs=50
# CUDA_VISIBLE_DEVICES chooses it, the first one if unset.
set -euo pipefail

if ! nvidia-smi -L >/dev/null 2>&1; then
    echo "train_one_gpu.sh: nvidia-smi finds no GPU; 'sparsefast train' by itself runs on the CPU" >&2
    exit 2
fi
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}"
if [[ "$CUDA_VISIBLE_DEVICES" == *,* ]]; then
    echo "train_one_gpu.sh: CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES names several GPUs; train_many_gpus.sh takes them" >&2
    exit 2
fi
exec sparsefast train "$@"
