"""What MLflow's UI shows of an experiment as a whole: its kind, a description, and saved views of its runs.

A saved view (a tag that the UI of MLflow 3.17 lists under *Views*) has a filter, an order, columns and charts. The pages of
an experiment open on its newest hundred runs, which tell a stranger nothing: the views are the way in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from descentlab.mlflow_entry import CURVE, NOTE
from descentlab.mlflow_links import link_artifact, link_view
from descentlab.parent_runs import KIND, metric_name

VIEW = "mlflow.sharedViewState."  # and the view's id
TRAINING_KIND = {"mlflow.experimentKind": "custom_model_development"}
START = "start"
PAIR = ("sgd", "adam")  # whose curves the lecture compares
TUNED = "adam"  # whose learning rates are the example
NEWEST = "attributes.start_time"
WIDE, NARROW = 190, 110  # pixels of a column


def experiment_tags(plan: Mapping[str, Any], experiment: str, found: Mapping[str, str]) -> dict[str, str]:
    """The tags of an experiment.

    Args:
        plan: the contents of plan.json.
        experiment: MLflow's id.
        found: MLflow's ids of the parents and of the report by our ids, as far as they are logged.
    """
    views = saved_views(plan, found)
    return {
        **TRAINING_KIND,
        NOTE: describe_experiment(plan, experiment, found, list(views)),
        **{f"{VIEW}{name}": view for name, view in views.items()},
    }


def describe_experiment(plan: Mapping[str, Any], experiment: str, found: Mapping[str, str], views: list[str]) -> str:
    """What a stranger reads above the list of runs; only the first paragraph is seen before it is unfolded."""
    first = next(iter(plan["problems"]))
    report = f"Read [the report]({link_artifact(experiment, found['report'], 'index.html')}), or open" if (
        "report" in found
    ) else "Open"  # fmt: skip
    lines = [
        f"Which optimizer should a model be trained with? {report} [the parent runs]({link_view(experiment, START)}): one for "
        "each problem and optimizer.",
        "",
        f"| problem | best optimizers | {' and '.join(PAIR)} | {TUNED} |",
        "|---|---|---|---|",
    ]
    words = {"means": ("means over seeds", False), "pair": ("curves", True), "rates": ("learning rates", False)}
    for problem, about in plan["problems"].items():
        cells = [
            f"[{text}]({link_view(experiment, f'{kind}-{problem}', charts)})" if f"{kind}-{problem}" in views else ""
            for kind, (text, charts) in words.items()
        ]
        lines.append(f"| {problem}: {about['title']} | {' | '.join(cells)} |")
    return "\n".join(lines) + (
        "\n\nThese and more are under *Views*. How to read the runs:\n\n"
        "- A **parent run**, `problem / optimizer`, has means over the final seeds with the ends of their 95 % intervals "
        "(`tuned/test_…_mean`, `…_low`, `…_high`, of `tuned/n` seeds), mean curves, a picture, and the best model. Its "
        "children are the single trainings.\n"
        f"- **Filter**: only parents are `tags.{KIND} = 'parent'`; only the runs that count are `tags.phase = 'final' and "
        f"tags.arm = 'tuned' and tags.problem = '{first}'`.\n"
        "- **Group or filter by the tags** `problem`, `optimizer`, `arm` (default, tuned or extended), `phase` (tuning, sweep, "
        "final, neighbour), `learning_rate`, `seed`, `status`. A run that diverged has MLflow's status *failed* and the tag "
        "`status = 'diverged'`.\n"
        f"- **Charts** under `{CURVE}` have updates as steps and training time as time. The other metrics are values at the end "
        "(`test_…`, `val_…`, `train_…`), at the best validation epoch (`best_…`), and updates until a target loss.\n"
        "- **Models** are the best final model of each problem and optimizer, by validation."
    )


def saved_views(plan: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, str]:
    """The views by id, as MLflow stores them; those of runs that aren't logged yet are left out."""
    arm = "tuned" if "tuned" in plan["config"]["arms"] else plan["config"]["arms"][0]
    parents = f"tags.`{KIND}` = 'parent'"
    views = {START: view("All problems: the parent runs", f"tags.`{KIND}` != 'run'", NEWEST, False, [
        f"{arm}/n", f"{arm}/n_diverged", f"{arm}/learning_rate"])}  # fmt: skip
    for problem, about in plan["problems"].items():
        metric, higher = metric_name(about["metric"]), about["higher_is_better"]
        mine = f"tags.problem = '{problem}'"
        means = [f"{arm}/{name}" for name in (*(f"test_{metric}_{part}" for part in ("mean", "low", "high")), "n")]
        views[f"means-{problem}"] = view(
            f"{problem}: means over seeds, best first", f"{parents} and {mine}", f"metrics.`{means[0]}`", not higher,
            [*means, f"{arm}/learning_rate"],
        )  # fmt: skip
        pair = [found[key] for name in PAIR if (key := f"{problem}.{name}") in found]
        if len(pair) == len(PAIR):
            ids = ", ".join(f"'{run}'" for run in pair)
            views[f"pair-{problem}"] = view(
                f"{problem}: curves of {' and '.join(PAIR)}", f"attributes.run_id IN ({ids})", NEWEST, False, means,
                charts=[f"val_loss{end}" for end in ("", "_low", "_high")],
            )  # fmt: skip
        grid = plan["optimizers"].get(TUNED, {}).get("grid")
        if f"{problem}.{TUNED}" in found and grid:
            views[f"rates-{problem}"] = view(
                f"{problem}: learning rates of {TUNED}",
                f"{mine} and tags.optimizer = '{TUNED}' and tags.phase = 'tuning'", f"metrics.`val_{metric}`", not higher,
                [f"val_{metric}", "val_loss"], group="learning_rate", folded=[f"{rate:g}" for rate in grid],
            )  # fmt: skip
    return views


def view(
    name: str,
    condition: str,
    order: str,
    ascending: bool,
    columns: list[str],
    charts: list[str] | None = None,
    group: str | None = None,
    folded: list[str] | None = None,
) -> str:
    """One saved view.

    Args:
        name: in the list of views.
        condition: of ``search_runs``.
        order: ``attributes.…`` or ``metrics.`…```.
        columns: metrics.
        charts: metrics under ``curve/`` that one chart shows, before all others.
        group: parameter by which runs are grouped.
        folded: its values whose groups are closed.
    """
    shown = [f"metrics.`{column}`" for column in columns]
    state: dict[str, Any] = {
        "searchFilter": condition, "orderByKey": order, "orderByAsc": ascending, "selectedColumns": shown,
        "columnOrder": shown, "columnWidths": {f"metrics-{column}": WIDE for column in columns},
    }  # fmt: skip
    if group is not None:
        keys = [{"mode": "param", "groupByData": group}]
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": keys}
        state["groupsExpanded"] = {f"param.{group}.{value}": False for value in folded or ()}
    if charts is not None:
        state["compareRunSections"] = [
            {"uuid": "curves", "name": "Means over seeds", "display": True, "isReordered": True}
        ]
        state["compareRunCharts"] = [{
            "type": "LINE", "uuid": "pair", "metricSectionId": "curves", "runsCountToCompare": 10, "deleted": False,
            "isGenerated": False, "metricKey": CURVE + charts[0], "selectedMetricKeys": [CURVE + name for name in charts],
            "scaleType": "log", "xAxisScaleType": "linear", "xAxisKey": "step", "lineSmoothness": 0, "range": {},
            "yAxisKey": "metric", "yAxisExpressions": [], "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True,
        }]  # fmt: skip
        state["isAccordionReordered"] = True
    # The UI gives the times of making and changing a view; a view that is a function of the plan has none.
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
