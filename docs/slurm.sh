#!/bin/bash
# One alignment on all GPUs of two nodes. Preempted or out of time, the job saves, is queued again and goes on:
#   sbatch docs/slurm.sh --pair de-en --loss S1W1M1 --model xlm-roberta-base --data DATA --output runs/de-en/S1W1M1
#SBATCH --job-name=xalign
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail

export GPUS_PER_NODE=${SLURM_GPUS_PER_NODE:-1}
HEAD=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export HEAD
export PORT=$((20000 + SLURM_JOB_ID % 20000))

# Told that its time ends, the job hands the signal on, which makes xalign save, and asks to be queued again. A job that
# fails for another reason stays failed.
told=
trap 'told=yes; scancel --signal=TERM "$SLURM_JOB_ID"' TERM

srun --kill-on-bad-exit=1 bash -c '
  exec accelerate launch --config_file accelerate_configs/multi_node.yaml \
    --num_machines "$SLURM_NNODES" --num_processes "$((SLURM_NNODES * GPUS_PER_NODE))" \
    --machine_rank "$SLURM_NODEID" --main_process_ip "$HEAD" --main_process_port "$PORT" \
    -m xalign align "$@" --resume' xalign "$@" &
step=$!
code=0
wait "$step" || code=$?
if [ -n "$told" ]; then
  wait "$step" || true # the first wait was cut short by the signal
  scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
exit "$code"
