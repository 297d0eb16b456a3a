"""The optimizers: their table, how one is built, their learning rates and schedules."""
