"""What a results folder has to compare with another: rows of values and of estimates, by what identifies them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.analysis.claims.judgment import value_of
from descentlab.analysis.comparison import TABLES
from descentlab.analysis.remarks import Remark, name_place, unpack_remarks
from descentlab.experiment.config import ConfigError
from descentlab.experiment.plan import ImportedPlan, Plan, PlanError
from descentlab.i18n.language import Language
from descentlab.optimizers.roles import PLAIN
from descentlab.report.diff.settings import MEMBERS, Key, flatten
from descentlab.storage.tables import check_table

# What identifies a row of each kind. Units and metrics are part of it: what is measured otherwise is another estimate.
KEYS: Mapping[str, Key] = {
    "members": ("kind", "name"),
    "settings": ("setting",),
    "claims": ("claim",),
    "pieces": ("claim", "where", "unit"),
    "contrasts": ("problem", "arm", "first", "second", "metric"),
    "finals": ("problem", "arm", "optimizer", "metric"),
    "speed": ("problem", "arm", "optimizer", "target"),
    "rates": ("problem", "optimizer", "setting"),
    "runs": ("problem", "arm", "optimizer"),
}
ENDINGS = ("finished", "diverged", "failed", "missing")

# The columns that are read of each table, so that results of versions with other columns can be compared too.
COLUMNS = {
    "contrasts": ("problem", "arm", "first", "second", "n", "difference_mean", "low", "high", "verdict", "remarks"),
    "summary": (
        "problem",
        "arm",
        "optimizer",
        "test_metric_mean",
        "test_metric_low",
        "test_metric_high",
        *(f"n_{ending}" for ending in ENDINGS),
    ),
    "speed": ("problem", "arm", "optimizer", "target", "n", "ratio_to_sgd", "ratio_low", "ratio_high", "ratio_bound"),
}
WRITTEN_BY = {
    "plan.json": "snakemake --cores all --configfile CONFIG",
    "selections.json": "python -m descentlab collect {folder}",
    "claims.json": "python -m descentlab compare {folder}",
    **{f"comparison/{name}.parquet": "python -m descentlab compare {folder}" for name in COLUMNS},
}


class ResultError(ValueError):
    """A folder is no results folder, or a file in it can't be read; the message says which, and what writes it."""


@dataclass(frozen=True)
class Estimated:
    """An estimate as one result has it.

    Attributes:
        estimate, low, high: with its interval; NaN where there is none.
        n: values behind it.
        bound: ``at least`` where the true value can only be larger, ``at most`` where it can only be smaller, ``unknown``
            where it can be either.
        verdict: empty where nothing is judged.
        size: of a claim's difference, ``small``, ``large`` or empty.
        remarks: what a reader must know of it.
        place: of a claim's piece of evidence, what it was measured on.
    """

    estimate: float
    low: float
    high: float
    n: int
    bound: str = ""
    verdict: str = ""
    size: str = ""
    remarks: tuple[Remark, ...] = ()
    place: Remark | None = None

    @property
    def allowed(self) -> tuple[float, float]:
        """The ends of the interval, infinite on a side that the bound leaves open."""
        low = -math.inf if self.bound in {"at most", "unknown"} else self.low
        high = math.inf if self.bound in {"at least", "unknown"} else self.high
        return low, high


@dataclass(frozen=True)
class Result:
    """One result.

    Attributes:
        experiment, commit, language: from its plan; of an imported experiment, the commits that its runs logged.
        statements: each claim's sentence in that language, by the claim's id.
        higher_is_better: by problem.
        tables: values and :class:`Estimated` of each kind of KEYS, by what identifies them; settings by their path.
    """

    experiment: str
    commit: str
    language: Language
    statements: Mapping[str, str]
    higher_is_better: Mapping[str, bool]
    tables: Mapping[str, Mapping[Key, Any]]


def read_result(folder: Path) -> Result:
    """Read ``results/<experiment>``.

    Raises:
        ResultError: a file is missing or can't be read.
        TableError: a table lacks a column.
    """
    for name, command in WRITTEN_BY.items():
        if not (folder / name).is_file():
            raise ResultError(
                f"{folder}: a results folder must have {', '.join(WRITTEN_BY)}; '{name}' is missing. "
                f"Run: {command.format(folder=folder)}"
            )
    plan = read_plan(folder)
    selections, claims = (read_json(folder, name) for name in ("selections.json", "claims.json"))
    tables = {name: read_columns(folder, name) for name in COLUMNS}
    try:
        return result_of(plan, selections, claims, tables)
    except (KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{folder}: selections.json and claims.json must be as this version writes them; "
            f"{type(error).__name__}: {error}. Run: {WRITTEN_BY['selections.json'].format(folder=folder)}"
        ) from error


def read_plan(folder: Path) -> Plan:
    """The plan of a results folder."""
    try:
        return Plan.read(folder)
    except (PlanError, ConfigError) as error:
        raise ResultError(str(error)) from error


def read_json(folder: Path, name: str) -> Any:
    """A JSON file of a results folder."""
    try:
        # NaN stays text: it would differ from itself.
        return json.loads((folder / name).read_text(encoding="utf-8"), parse_constant=str)
    except ValueError as error:
        command = WRITTEN_BY[name].format(folder=folder)
        raise ResultError(f"{folder / name}: must be JSON; {error}. Run: {command}") from error


def read_columns(folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table of the comparison, with the columns of COLUMNS."""
    path = folder / "comparison" / f"{name}.parquet"
    columns = {column: TABLES[name][column] for column in COLUMNS[name]}
    try:
        table = pd.read_parquet(path)
    except ValueError as error:
        command = WRITTEN_BY[f"comparison/{name}.parquet"].format(folder=folder)
        raise ResultError(f"{path}: must be a parquet table; {error}. Run: {command}") from error
    known = table[[column for column in table.columns if column in columns]]
    return check_table(known, columns, str(path)).to_dict("records")


def result_of(
    plan: Plan,
    selections: list[dict[str, Any]],
    claims: list[dict[str, Any]],
    tables: Mapping[str, list[dict[str, Any]]],
) -> Result:
    """The result from the contents of its files; ``tables``: rows with the columns of COLUMNS."""
    language = plan.config.report.language
    # NaN, which a hyperparameter may be, becomes text: it would differ from itself.
    content = json.loads(json.dumps(plan.as_json()), parse_constant=str)
    return Result(
        experiment=plan.config.experiment,
        commit=commit_of(plan),
        language=language,
        statements={entry["id"]: entry["spanish" if language == "es" else "english"] for entry in claims},
        higher_is_better={name: planned.higher_is_better for name, planned in plan.problems.items()},
        tables={
            "members": {(kind, name): True for kind in MEMBERS for name in getattr(plan, kind)},
            # How runs are cut into jobs, and where they are tracked, never changes a result; an address may have a password.
            "settings": {
                path: value
                for path, value in flatten(content).items()
                if path[0] != "jobs" and path[:2] != ("config", "tracking")
            },
            "claims": {(entry["id"],): {name: entry[name] for name in ("verdict", "size")} for entry in claims},
            "pieces": {key: piece for entry in claims for key, piece in pieces_of(entry).items()},
            "rates": {key: value for selection in selections for key, value in choices_of(selection).items()},
            **estimates_of(tables, {name: planned.metric for name, planned in plan.problems.items()}),
        },
    )


def commit_of(plan: Plan) -> str:
    """The commit that the runs were planned at, or those that imported runs logged."""
    commits = plan.imported.commits if isinstance(plan, ImportedPlan) else (plan.versions["git_commit"],)
    return ", ".join(commits) or "unknown"


def pieces_of(entry: dict[str, Any]) -> dict[Key, Estimated]:
    """A claim's pieces of evidence; those that are called alike are numbered."""
    pieces: dict[Key, Estimated] = {}
    for piece in entry["pieces"]:
        place = name_place(piece["place"])
        where, again = place, 1
        while (entry["id"], where, piece["unit"]) in pieces:
            again += 1
            where = f"{place} ({again})"
        pieces[entry["id"], where, piece["unit"]] = Estimated(
            value_of(piece["estimate"]),
            value_of(piece["low"]),
            value_of(piece["high"]),
            piece["n"],
            piece["bound"],
            piece["verdict"],
            piece["size"],
            tuple(piece["remarks"]),
            piece["place"],
        )
    return pieces


def choices_of(selection: dict[str, Any]) -> dict[Key, Any]:
    """What tuning chose for an optimizer on a problem, the extended arm's choice too."""
    chosen = {"learning_rate": selection["learning_rate"], "edge": selection["edge"] or None}
    if "extended" in selection:
        chosen["extended"] = selection["extended"]
    whose = selection["problem"], selection["optimizer"]
    return {(*whose, ".".join(path)): value for path, value in flatten(chosen).items()}


def estimates_of(tables: Mapping[str, list[dict[str, Any]]], metrics: Mapping[str, str]) -> dict[str, dict[Key, Any]]:
    """Contrasts, final metrics, time-to-target ratios and how final runs ended.

    Args:
        tables: rows with the columns of COLUMNS.
        metrics: by problem.
    """
    summary = [((row["problem"], row["arm"], row["optimizer"]), row) for row in tables["summary"]]
    return {
        # Intervals that are not corrected: Holm's change with the number of problems, the estimate does not.
        "contrasts": {
            (row["problem"], row["arm"], row["first"], row["second"], metrics[row["problem"]]): Estimated(
                row["difference_mean"],
                row["low"],
                row["high"],
                row["n"],
                verdict=row["verdict"],
                remarks=tuple(unpack_remarks(row["remarks"])),
            )
            for row in tables["contrasts"]
        },
        "finals": {
            (*key, metrics[key[0]]): Estimated(
                row["test_metric_mean"], row["test_metric_low"], row["test_metric_high"], row["n_finished"]
            )
            for key, row in summary
        },
        # Plain SGD's ratio to itself is 1 by definition.
        "speed": {
            (row["problem"], row["arm"], row["optimizer"], row["target"]): Estimated(
                row["ratio_to_sgd"], row["ratio_low"], row["ratio_high"], row["n"], row["ratio_bound"]
            )
            for row in tables["speed"]
            if row["optimizer"] != PLAIN
        },
        "runs": {key: {ending: row[f"n_{ending}"] for ending in ENDINGS if row[f"n_{ending}"]} for key, row in summary},
    }
