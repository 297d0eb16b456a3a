"""Views of an experiment's runs that MLflow's UI lists under *Views*: a filter, an order, columns, groups and charts.

An experiment's page opens on its newest hundred runs, which tell a stranger nothing; the views are the way in. MLflow 3.17
keeps a view as a tag of the experiment, as its button *Save view* writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from descentlab.experiment.plan import TrainingPlan
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.tracking.entry import CURVE
from descentlab.tracking.parent_runs import KIND, metric_name

OWNED = "descentlab-"  # a reader's own views have other names
VIEW_TAG = "mlflow.sharedViewState."
START = f"{OWNED}start"
ENDS = ("mean", "low", "high")
ATTRIBUTES = ("attributes.`Dataset`", "attributes.`Models`")
LEAST_WIDTH, LETTER_WIDTH = 150, 8  # pixels of a column and of a letter of its name


def compared_optimizers(plan: TrainingPlan) -> list[str]:
    """Two optimizers whose curves a view shows: those that the lecture compares, else the reference and another."""
    names = list(plan.optimizers)
    if {PLAIN, ADAM} <= set(names):
        return [PLAIN, ADAM]
    return sorted(names, key=lambda name: name != plan.reference)[:2]


def view_name(kind: str, problem: str) -> str:
    """The id of a problem's view; ``kind`` is means, pair or rates."""
    return f"{OWNED}{kind}-{problem}"


def saved_views(plan: TrainingPlan, parents: Mapping[str, str]) -> dict[str, str]:
    """The views by id, as MLflow stores them; those of runs that aren't logged yet are left out.

    Args:
        parents: MLflow's ids of the parents by ours.
    """
    arm = plan.main_arm
    settings = [f"{arm}/n", f"{arm}/n_diverged", f"{arm}/learning_rate"]
    losses = [f"{arm}/test_loss_{end}" for end in ENDS]
    condition = f"tags.`{KIND}` != 'run'"
    views = {START: saved_view("All problems: the parent runs", condition, "params.`problem`", True, losses + settings)}
    pair = compared_optimizers(plan)
    for problem, planned in plan.problems.items():
        metric, ascending = metric_name(planned.metric), not planned.higher_is_better
        of_problem = f"tags.problem = '{problem}'"
        means = [f"{arm}/test_{metric}_{end}" for end in ENDS]
        views[view_name("means", problem)] = saved_view(
            f"{problem}: means over seeds, best first",
            f"tags.`{KIND}` = 'parent' and {of_problem}",
            f"metrics.`{arm}/rank`",
            True,
            [f"{arm}/rank", *means, *settings],
        )
        ids = [parents[key] for name in pair if (key := f"{problem}.{name}") in parents]
        if len(ids) == 2:
            views[view_name("pair", problem)] = saved_view(
                f"{problem}: curves of {' and '.join(pair)}",
                f"attributes.run_id IN ('{ids[0]}', '{ids[1]}')",
                "attributes.start_time",
                False,
                means + settings,
                curve_chart("validation loss", "val_loss"),
            )
        grid = [rate for rate in plan.optimizers[pair[-1]].grid if rate is not None]
        if f"{problem}.{pair[-1]}" in parents and grid:
            views[view_name("rates", problem)] = saved_view(
                f"{problem}: learning rates of {pair[-1]}",
                f"{of_problem} and tags.optimizer = '{pair[-1]}' and tags.phase = 'tuning'",
                f"metrics.`val_{metric}`",
                ascending,
                [f"val_{metric}", "val_loss"],
                parameter_groups("learning_rate", (f"{rate:g}" for rate in grid)),
            )
    return views


def saved_view(
    name: str,
    condition: str,
    order: str,
    ascending: bool,
    metrics: list[str],
    more: Mapping[str, Any] | None = None,
) -> str:
    """A view as MLflow stores it.

    Args:
        name: in the list of views.
        condition: of ``search_runs``.
        order: ``attributes.NAME``, ``params.`NAME``` or ``metrics.`NAME```.
        ascending: the direction.
        metrics: those with a column.
        more: groups or charts.
    """
    widths = {f"metrics.`{metric}`": max(LEAST_WIDTH, LETTER_WIDTH * len(metric)) for metric in metrics}
    if "groupBy" not in (more or {}):  # a group has neither
        widths |= dict.fromkeys(ATTRIBUTES, LEAST_WIDTH)
    state = {
        "searchFilter": condition,
        "orderByKey": order,
        "orderByAsc": ascending,
        "selectedColumns": list(widths),
        "columnOrder": list(widths),
        "columnWidths": widths,
        **(more or {}),
    }
    # A view that is a function of the plan was made at no time.
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})


def parameter_groups(parameter: str, folded: Iterable[str]) -> dict[str, Any]:
    """Runs grouped by a parameter, their metrics averaged; ``folded`` are the values whose groups are closed."""
    return {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": parameter}]},
        "groupsExpanded": {f"param.{parameter}.{value}": False for value in folded},
    }


def curve_chart(title: str, measure: str) -> dict[str, Any]:
    """One wide chart of a parent's mean curve and the ends of its interval, logarithmic."""
    curves = [f"{CURVE}{measure}{end}" for end in ("", "_low", "_high")]
    section = {
        "uuid": "curves",
        "name": "Means with their 95 % intervals",
        "display": True,
        "isReordered": True,
        "columns": 1,
        "cardHeight": 460,
    }
    chart = {
        "type": "LINE",
        "uuid": "pair",
        "metricSectionId": section["uuid"],
        "displayName": title,
        "metricKey": curves[0],
        "selectedMetricKeys": curves,
        "scaleType": "log",
        "displayPoints": False,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 10,
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
    return {"compareRunSections": [section], "compareRunCharts": [chart], "isAccordionReordered": True}
