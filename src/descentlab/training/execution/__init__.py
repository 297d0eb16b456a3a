"""How a job runs on its machine: GPUs, time limits, locks, progress."""
