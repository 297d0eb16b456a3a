"""The tables that ``compare`` hands to the report: columns, units, directions, and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from descentlab.analysis.best_of_k import BEST_OF_K_COLUMNS
from descentlab.analysis.break_even import BREAK_EVEN_COLUMNS
from descentlab.analysis.coverage import COVERAGE_COLUMNS
from descentlab.analysis.rank_stability import RANK_STABILITY_COLUMNS
from descentlab.analysis.ranks import RANK_COLUMNS
from descentlab.analysis.recommendation import RECOMMENDATION_COLUMNS
from descentlab.storage.atomic import write_text
from descentlab.storage.tables import Column, empty_table, read_table, write_table


def _text(*names: str) -> dict[str, Column]:
    return {name: Column("str", "", "", name) for name in names}


def _counts(**meanings: str) -> dict[str, Column]:
    return {name: Column("int64", "runs", "", meaning) for name, meaning in meanings.items()}


def _numbers(unit: str, better: str, **meanings: str) -> dict[str, Column]:
    return {name: Column("float64", unit, better, meaning) for name, meaning in meanings.items()}


def _interval(name: str, unit: str, better: str, meaning: str) -> dict[str, Column]:
    """Mean and the ends of its 95 % t interval over seeds."""
    return _numbers(
        unit,
        better,
        **{f"{name}_mean": f"mean {meaning}", f"{name}_low": "95 % low end", f"{name}_high": "95 % high end"},
    )


_ROW = _text("problem", "arm", "optimizer")

TABLES: dict[str, dict[str, Column]] = {
    "summary": {
        **_ROW,
        **_counts(
            n_planned="final runs planned",
            n_finished="of them finished",
            n_diverged="diverged",
            n_failed="raised an error",
            n_missing="missing",
        ),
        **_numbers("", "", learning_rate="rate of the final runs; NaN without one"),
        **_numbers(
            "metric",
            "problem",
            test_metric_mean="mean test metric at the end, finished seeds",
            test_metric_low="95 % t interval over seeds and test examples",
            test_metric_high="likewise",
        ),
        **_numbers("metric", "problem", val_metric_mean="mean validation metric at the end"),
        **_numbers("loss", "lower", train_loss_mean="mean training loss", test_loss_mean="mean test loss"),
        **_numbers("updates", "", updates="budget"),
        **_numbers("examples", "lower", examples_mean="mean training examples processed, finished seeds"),
        **_numbers("seconds", "lower", train_seconds_mean="mean wall time of the updates"),
        **_numbers("microseconds", "lower", microseconds_per_update="median over seeds, of the run itself"),
        **_numbers("bytes", "lower", state_bytes_per_parameter="optimizer state per parameter"),
        **_numbers(
            "",
            "lower",
            rank="1 = best mean test metric of problem and arm; those with unfinished runs behind, without a finished one last",
        ),
        "undertuned": Column("bool", "", "", "its grid of learning rates was too narrow: a better one may lie outside"),
    },
    "beside": {
        **_ROW,
        **_text("name", "split"),
        **_counts(n="finished seeds"),
        **_numbers("", "", value_mean="at the end", value_low="95 % t interval over seeds", value_high="likewise"),
    },
    "scores": {
        **_ROW,
        "seed": Column("int64", "", "", "seed"),
        **_text("status"),
        **_numbers("metric", "problem", test_metric="at the end", val_metric="at the end"),
        **_numbers("loss", "lower", test_loss="at the end", train_loss="at the end"),
        **_text("run_id"),
    },
    "contrasts": {
        **_text("problem", "arm", "first", "second", "declared"),
        **_counts(n="pairs of seeds", n_dropped="pairs lost to a diverged, failed or missing run"),
        "look": Column("int64", "", "", "at which it was judged: 1 is that at the final seeds"),
        **_numbers(
            "metric",
            "higher",
            difference_mean="mean paired difference of test goodness, first − second",
            low="interval over seeds and test examples, 95 % over all its looks",
            high="likewise",
            low_corrected="interval at its level in its family",
            high_corrected="likewise",
            bca_low="95 % BCa bootstrap over seeds, for description",
            bca_high="likewise",
        ),
        **_numbers(
            "",
            "",
            p="paired t; sign test where a divergence is one-sided",
            p_corrected="adjusted in its family",
            effect_size="mean / sd of the seeds' differences",
        ),
        **_numbers(
            "share",
            "lower",
            example_share="of the mean's variance that is the test examples'",
            choice_share="of the mean's variance that is the noise of tuning",
        ),
        **_numbers(
            "seeds",
            "lower",
            seeds_needed="pairs, at a look where one will do, that would settle the verdict; inf: none would",
        ),
        **_numbers(
            "metric",
            "",
            margin="δ: smaller differences are negligible",
            floor="half of the corrected interval that no number of seeds reduces: test examples and tuning",
        ),
        "verdict": Column("str", "", "", "a Verdict"),
        **_numbers(
            "decades",
            "higher",
            fit_mean="by how much the first's training objective (loss plus penalty) ends lower, paired by seed",
            fit_low="interval at its level in its family",
            fit_high="likewise",
        ),
        **_counts(fit_n="pairs of seeds in it"),
        "fit_verdict": Column("str", "", "", "a Verdict: better where the first fits the training data better"),
        "remarks": Column("str", "", "", "what a reader must know about it: codes with values, as JSON"),
    },
    "curves": {
        **_ROW,
        **_numbers("updates", "", updates="updates done"),
        **_numbers("epochs", "", epoch="passes done"),
        **_numbers("examples", "", examples="examples processed"),
        **_numbers(
            "seconds",
            "lower",
            seconds="updates times the serially measured cost of a step; NaN where not measured",
            train_seconds_mean="mean wall time of the updates, with other jobs running",
        ),
        **_counts(n="seeds with a finite value"),
        **_interval("train_loss", "loss", "lower", "training loss"),
        **_interval("val_loss", "loss", "lower", "validation loss"),
        **_interval("val_metric", "metric", "problem", "validation metric"),
    },
    "sensitivity": {
        **_text("problem", "optimizer"),
        **_numbers("", "", learning_rate="rate of the grid"),
        **_counts(n="tuning runs finished", n_diverged="tuning runs diverged"),
        **_interval("val_metric", "metric", "problem", "validation metric of tuning runs"),
        "chosen": Column("bool", "", "", "the rate of the tuned arm's final runs"),
        **_text("edge"),
    },
    "widths": {
        **_text("problem", "optimizer"),
        **_text("phase"),
        **_numbers(
            "decades",
            "higher",
            width="learning rates within the margin of the best, mean over seeds",
            low="95 % t interval",
            high="likewise",
            divergence="from the best learning rate to the first above it that diverges, mean over seeds",
            divergence_low="95 % t interval",
            divergence_high="likewise",
        ),
        "censored": Column("bool", "", "", "in some seed an end was not reached: the width is a lower bound"),
        "divergence_censored": Column("bool", "", "", "in some seed no rate diverged: the distance is a lower bound"),
        **_counts(n="seeds"),
    },
    "speed": {
        **_ROW,
        **_text("target"),
        **_numbers("loss", "", target_val_loss="validation loss to reach"),
        **_counts(n="final runs", n_reached="of them reached the target"),
        **_numbers(
            "share", "higher", share_reached="n_reached / n", share_low="95 % exact interval", share_high="likewise"
        ),
        **_numbers("updates", "lower", updates_median="median; inf where under half reached"),
        **_numbers(
            "updates",
            "lower",
            updates_restricted_mean="mean within the budget: a miss or a divergence counts as the budget",
            low="95 % t interval",
            high="95 % t interval",
            budget_updates="budget",
        ),
        **_numbers("examples", "lower", examples_restricted_mean="the same in examples"),
        **_numbers("seconds", "lower", seconds_restricted_mean="the same times the serially measured cost of a step"),
        **_numbers(
            "ratio",
            "lower",
            ratio_to_sgd="geometric mean of paired ratios of restricted updates to sgd's",
            ratio_low="95 % t interval",
            ratio_high="95 % t interval",
        ),
        **_text("ratio_bound"),
        "faster_untrained": Column(
            "bool",
            "",
            "",
            "in tuning a rate was faster at which the final seeds were not trained (rates tuned for speed)",
        ),
    },
    "reached": {
        **_ROW,
        "seed": Column("int64", "", "", "seed"),
        **_text("run_id", "target"),
        **_numbers("loss", "", target_val_loss="validation loss to reach"),
        "reached": Column("bool", "", "", "within the budget"),
        **_numbers(
            "updates", "lower", updates="until it was reached; the budget where it was not", budget_updates="budget"
        ),
        "batch_size": Column("int64", "examples", "", "examples per update"),
    },
    "profiles": {
        **_text("arm", "target", "optimizer"),
        **_numbers("ratio", "lower", ratio="factor of the fastest mean time to the target"),
        **_numbers("share", "higher", share="of the problems on which the optimizer is within the factor"),
        **_numbers(
            "share",
            "higher",
            integral="mean share over factors from 1 to 4",
            integral_least="the least if one problem is left out",
            integral_most="the largest if one problem is left out",
        ),
        "n": Column("int64", "problems", "", "problems"),
    },
    "gaps": {
        **_ROW,
        **_counts(n="finished final runs"),
        **_interval("gap", "loss", "lower", "training loss plus penalty above the known optimum, at the end"),
    },
    "coverage": COVERAGE_COLUMNS,
    "rank_stability": RANK_STABILITY_COLUMNS,
    "best_of_k": BEST_OF_K_COLUMNS,
    "break_even": BREAK_EVEN_COLUMNS,
    "ranks": RANK_COLUMNS,
    "regret": {
        **_ROW,
        "leader": Column(
            "str", "", "", "optimizer with the best mean validation metric among those that finished every seed"
        ),
        **_counts(n="pairs of finished seeds", n_unfinished="final runs that diverged, failed or are missing"),
        **_numbers(
            "metric",
            "lower",
            val_regret="mean validation goodness, the leader's minus the optimizer's; inf if a run did not finish",
        ),
        **_numbers(
            "metric",
            "higher",
            difference_mean="mean paired test goodness, optimizer minus leader",
            low="95 % interval over seeds and test examples, not corrected",
            high="likewise",
        ),
        **_numbers("metric", "", margin="δ of the problem"),
    },
    "recommendations": RECOMMENDATION_COLUMNS,
    "alarms": {
        **_text("kind", "problem", "arm", "optimizer"),
        **_counts(count="runs concerned"),
        "code": Column("str", "", "", "names its sentence"),
        "values": Column("str", "", "", "what the sentence is filled with, as JSON"),
    },
}

DOCUMENTS = {"claims": "../claims.json"}  # next to the folder of the tables


@dataclass(frozen=True)
class Comparison:
    """Everything the report draws; each table has the columns of TABLES."""

    summary: pd.DataFrame
    beside: pd.DataFrame
    scores: pd.DataFrame
    contrasts: pd.DataFrame
    curves: pd.DataFrame
    sensitivity: pd.DataFrame
    widths: pd.DataFrame
    speed: pd.DataFrame
    reached: pd.DataFrame
    profiles: pd.DataFrame
    gaps: pd.DataFrame
    alarms: pd.DataFrame
    coverage: pd.DataFrame
    rank_stability: pd.DataFrame
    best_of_k: pd.DataFrame
    break_even: pd.DataFrame
    ranks: pd.DataFrame
    regret: pd.DataFrame
    recommendations: pd.DataFrame
    claims: list[dict[str, Any]]


def fill_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """``table`` with exactly the columns of ``TABLES[name]``; absent ones are filled with NaN."""
    return table.reindex(columns=list(TABLES[name])) if len(table) else empty_table(TABLES[name])


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write one parquet file per table, and ``claims.json`` next to the folder."""
    for name, columns in TABLES.items():
        write_table(getattr(comparison, name), columns, folder / f"{name}.parquet")
    for name, file in DOCUMENTS.items():
        write_text((folder / file).resolve(), json.dumps(getattr(comparison, name), indent=1, ensure_ascii=False))


def read_comparison(folder: Path) -> Comparison:
    """Read what :func:`write_comparison` wrote, with its columns checked."""
    tables = {name: read_table(folder / f"{name}.parquet", columns) for name, columns in TABLES.items()}
    documents = {name: json.loads((folder / file).read_text(encoding="utf-8")) for name, file in DOCUMENTS.items()}
    assert {*tables, *documents} == {field.name for field in fields(Comparison)}
    return Comparison(**tables, **documents)
