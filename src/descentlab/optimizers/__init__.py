"""The optimizers: their table, how each is built, their learning rates and schedules."""
