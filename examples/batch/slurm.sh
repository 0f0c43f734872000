#!/bin/sh
# Eight shards of one manifest, each on a GPU of its own; a job that is preempted is queued again
# and goes on. When all have ended, the last line once more without --shard makes one report.
#SBATCH --job-name=batch
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --requeue
#SBATCH --signal=TERM@60
exec attention-studio batch manifest.jsonl --out /shared/pairs --batch-size 8 \
  --shard "$SLURM_ARRAY_TASK_ID/8"
