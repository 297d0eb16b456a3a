"""Measurements besides the training runs: step cost and the mechanisms that the slides explain."""
