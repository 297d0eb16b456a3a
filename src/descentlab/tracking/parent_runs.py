"""The parent run of a problem and optimizer: means over its seeds, as metrics, curves, a picture and a note."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from descentlab.analysis.pairing import ROW
from descentlab.analysis.ranks import rank_means
from descentlab.analysis.statistics.intervals import t_interval
from descentlab.analysis.summary import average_curves
from descentlab.experiment.looks import ADDED
from descentlab.experiment.plan import TrainingPlan
from descentlab.problems.splits import SPLITS
from descentlab.report.plotting import optimizer_color
from descentlab.tracking.curve_picture import write_curve_picture
from descentlab.tracking.entry import TRAINING, DataSet, Entry
from descentlab.tracking.links import link_runs, picture_address

KIND = "descentlab.kind"  # run, parent or report
SOURCE = {"mlflow.source.name": "descentlab", "mlflow.source.type": "LOCAL"}
PICTURE = "curve.png"


def metric_name(name: str) -> str:
    """A metric's name as MLflow takes it: letters, digits, ``_``, ``-`` and ``.``, at most 200 of them.

    Example:
        >>> metric_name("signal-to-noise ratio (dB)")
        'signal-to-noise_ratio_dB'
    """
    return re.sub(r"[^\w.-]+", "_", name).strip("_")[:200] or "metric"


def data_set(plan: TrainingPlan, problem: str, splits: Iterable[str] = SPLITS) -> DataSet:
    """The data of a problem, and which splits of them a run sees."""
    planned = plan.problems[problem]
    examples = {f"{split}_examples": getattr(planned, f"{split}_examples") for split in SPLITS}
    return DataSet(problem, planned.data_hash, ", ".join(splits), examples)


def mean_curves(finals: pd.DataFrame, history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Means over seeds with the ends of their 95 % intervals at each evaluation, by optimizer.

    Args:
        finals: the final runs of one problem in the plan's main arm.
        history: of at least these runs.
    """
    curves = average_curves(finals, history.merge(finals[["run_id", *ROW]], on="run_id"), step_microseconds={})
    return {str(optimizer): curve for optimizer, curve in curves.groupby("optimizer", sort=False)}


def parent_entries(
    plan: TrainingPlan, problem: str, runs: pd.DataFrame, history: pd.DataFrame, experiment: str, whole: bool
) -> list[Entry]:
    """The parents of a problem's runs, one for each optimizer.

    Args:
        runs: all runs of the problem that have ended.
        history: of at least the final ones.
        experiment: MLflow's id, for the links in the notes.
        whole: whether every job of the problem has ended; of some alone the ranks could still change.
    """
    finals = runs[(runs["phase"] == "final") & (runs["arm"] == plan.main_arm)]
    curves = mean_curves(finals, history) if len(finals) else {}
    ranks = ranks_by_arm(runs, plan.problems[problem].higher_is_better) if whole else {}
    return [
        parent_entry(plan, problem, str(optimizer), group, runs, curves, ranks.get(str(optimizer), {}), experiment)
        for optimizer, group in runs.groupby("optimizer", sort=False)
    ]


def parent_entry(
    plan: TrainingPlan,
    problem: str,
    optimizer: str,
    own_runs: pd.DataFrame,
    runs: pd.DataFrame,
    curves: dict[str, pd.DataFrame],
    ranks: dict[str, float],
    experiment: str,
) -> Entry:
    """The parent of an optimizer's ``own_runs`` among all ``runs`` of the problem."""
    planned, reference = plan.problems[problem], plan.reference
    first = own_runs[own_runs["phase"] != ADDED]  # looks come later: the time between is nobody's work
    ended = first["started_at"] + first["train_seconds"] + first["evaluation_seconds"]
    draw = None
    if optimizer in curves:
        drawn, colors = {optimizer: curves[optimizer]}, {optimizer: optimizer_color(optimizer)}
        if reference != optimizer and reference in curves:
            label = f"{reference} (the reference)"
            drawn[label], colors[label] = curves[reference], optimizer_color(reference)
        title = f"{problem} / {optimizer}: means over seeds, 95 % intervals"
        draw = functools.partial(write_artifacts, title, drawn, colors)
    return Entry(
        key=f"{problem}.{optimizer}",
        name=f"{problem} / {optimizer}",
        began=int(min(first["started_at"]) * 1000),
        ended=int(max(ended) * 1000),
        finished=True,
        tags={
            **SOURCE,
            KIND: "parent",
            "problem": problem,
            "optimizer": optimizer,
            "mlflow.runColor": optimizer_color(optimizer),
            TRAINING: join_digests(own_runs),
        },
        params={"problem": problem, "optimizer": optimizer, "parameters": str(planned.parameters)},
        metrics=aggregate(own_runs, metric_name(planned.metric)) | ranks,
        curve=curve_columns(curves[optimizer], planned.metric, int(max(ended) * 1000)) if optimizer in curves else None,
        dataset=data_set(plan, problem),
        note=describe(plan, problem, optimizer, experiment, pictured=draw is not None),
        write_artifacts=draw,
        drawn_from=join_digests(runs[runs["optimizer"] == reference]),
    )


def ranks_by_arm(runs: pd.DataFrame, higher_is_better: bool) -> dict[str, dict[str, float]]:
    """Each optimizer's rank in each arm as a metric, by optimizer: the summary's rule, so that survivors lead nothing."""
    ranks: dict[str, dict[str, float]] = {}
    for arm, group in runs[runs["phase"] == "final"].groupby("arm", sort=False):
        finished, optimizer = group["status"] == "finished", group["optimizer"]
        means = group["test_metric"].where(finished).groupby(optimizer).mean()
        complete = finished.groupby(optimizer).all()
        diverged = (group["status"] == "diverged").groupby(optimizer).any()
        for name, rank in rank_means(means, higher_is_better, complete, diverged).items():
            ranks.setdefault(str(name), {})[f"{arm}/rank"] = float(rank)
    return ranks


def join_digests(runs: pd.DataFrame) -> str:
    """Sha256 of the trainings' digests."""
    return hashlib.sha256("".join(runs["digest"]).encode()).hexdigest()


def aggregate(runs: pd.DataFrame, metric: str) -> dict[str, float]:
    """Means over the final seeds of each arm with the ends of their 95 % intervals, and how many seeds they are of."""
    values: dict[str, float] = {}
    for arm, group in runs[runs["phase"] == "final"].groupby("arm", sort=False):
        finished = group[group["status"] == "finished"]
        for column, label in (("test_metric", f"test_{metric}"), ("val_metric", f"val_{metric}"), ("test_loss",) * 2):
            mean = t_interval(finished[column].to_numpy())
            values |= {f"{arm}/{label}_{part}": getattr(mean, part) for part in ("mean", "low", "high")}
        values |= {f"{arm}/n": len(finished), f"{arm}/n_diverged": int((group["status"] == "diverged").sum())}
        values[f"{arm}/learning_rate"] = float(group["learning_rate"].iloc[0])
    return values


def curve_columns(curve: pd.DataFrame, metric: str, stamp: int) -> dict[str, np.ndarray]:
    """The mean curves under the names of the single runs' curves, and the ends of the validation loss's interval."""
    named = {"train_loss": "train_loss", "val_loss": "val_loss", "val_metric": f"val_{metric_name(metric)}"}
    columns = {label: curve[f"{name}_mean"].to_numpy() for name, label in named.items()}
    ends = {f"val_loss_{end}": curve[f"val_loss_{end}"].to_numpy() for end in ("low", "high")}
    steps = curve["updates"].to_numpy()
    return {"step": steps, "timestamp": np.full(len(steps), stamp), **columns, **ends}


def write_artifacts(title: str, curves: dict[str, pd.DataFrame], colors: dict[str, str], folder: Path) -> None:
    """Draw the optimizer's curve together with the reference's."""
    write_curve_picture(folder / PICTURE, title, curves, colors)


def describe(plan: TrainingPlan, problem: str, optimizer: str, experiment: str, pictured: bool) -> str:
    """What the parent's page opens with."""
    planned = plan.problems[problem]
    condition = f"tags.problem = '{problem}' and tags.optimizer = '{optimizer}'"
    best = f"metrics.`val_{metric_name(planned.metric)}`"
    links = {
        "its final runs": link_runs(experiment, f"{condition} and tags.phase = 'final'", "attributes.start_time", True),
        "its tuning runs, best first": link_runs(
            experiment, f"{condition} and tags.phase = 'tuning'", best, not planned.higher_is_better
        ),
    }
    layers = pd.DataFrame([asdict(layer) for layer in planned.layers]).to_string(index=False)
    picture = f"![The mean curve of {optimizer}]({picture_address('{run}', PICTURE)})\n\n" if pictured else ""
    return (
        f"{planned.title} with {optimizer} ({plan.optimizers[optimizer].paper}): means over final seeds. Open "
        f"{' or '.join(f'[{text}]({link})' for text, link in links.items())}.\n\n{picture}"
        f"```\n{layers}\n```\n\n{planned.parameters:,} parameters\n"
    )
