"""Runs that other code logged to MLflow, as an experiment of ours."""
