"""What is measured beside the training runs: step cost and the mechanisms that the slides explain."""
