"""Addresses within MLflow's UI: relative, so they work wherever it is served.

``workflowType`` opens the pages of model training: MLflow 3 opens an experiment on those of GenAI otherwise, whatever the
experiment's tags say.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

TRAINING = {"workflowType": "machine_learning"}
CHARTS = {"compareRunsMode": "CHART"}


def link_runs(experiment: str, condition: str, order: str, ascending: bool) -> str:
    """The list of runs that match a condition of ``search_runs``, sorted by ``order``."""
    query = {**TRAINING, "searchFilter": condition, "orderByKey": order, "orderByAsc": str(ascending).lower()}
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def link_view(experiment: str, view: str, charts: bool = False) -> str:
    """A saved view of the runs, as a list or as charts."""
    query = {**TRAINING, **(CHARTS if charts else {}), "viewStateShareKey": view}
    return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def link_run(experiment: str, run: str) -> str:
    """The page of a run; ``run`` is MLflow's id."""
    return f"#/experiments/{experiment}/runs/{run}?{urlencode(TRAINING)}"


def link_artifact(experiment: str, run: str, name: str) -> str:
    """The page of a run's file; ``run`` is MLflow's id."""
    return f"#/experiments/{experiment}/runs/{run}/artifacts/{quote(name)}?{urlencode(TRAINING)}"


def picture_address(run: str, name: str) -> str:
    """A run's file itself, for use as an image."""
    return f"get-artifact?path={quote(name)}&run_uuid={run}"
