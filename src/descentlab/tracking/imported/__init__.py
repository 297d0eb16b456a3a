"""Externally logged MLflow runs, as an experiment of ours."""
