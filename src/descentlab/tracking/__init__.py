"""Runs, models and reports in MLflow."""
