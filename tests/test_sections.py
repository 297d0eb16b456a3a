"""Sections on a generated experiment whose truth is known: adam is best, gd and rmsprop worst, sgd equals momentum."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from comparison_fixture import SEEDS, generated_history, generated_plan, generated_runs, generated_selections
from descentlab.compare import compare_runs
from descentlab.comparison_tables import TABLES
from descentlab.config import Config
from descentlab.records import empty_table
from descentlab.report import render
from descentlab.sections import SECTIONS, Evidence
from descentlab.sections.about import grid_words, models, protocol, provenance
from descentlab.sections.blocks import Figure, Section, Switch, Table, csv_link, present
from descentlab.sections.convergence import convergence, curve_figure, optimum_gap, time_to_target
from descentlab.sections.outcome import final_metric, leader, paired_differences, shown_range
from descentlab.sections.tuning import alarms, sensitivity, value_range, width_words


def evidence_of(runs: pd.DataFrame | None = None, **config: Any) -> Evidence:
    plan, selections = generated_plan(**config), generated_selections()
    runs = generated_runs(0) if runs is None else runs
    return Evidence(plan, compare_runs(plan, runs, generated_history(runs), selections), selections)


def changed(evidence: Evidence, **tables: pd.DataFrame) -> Evidence:
    return dataclasses.replace(evidence, comparison=dataclasses.replace(evidence.comparison, **tables))


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def found(section: Section | None) -> Section:
    assert section is not None
    return section


def titles(section: Section | None) -> list[str]:
    return [block.takeaway for block in found(section).blocks if isinstance(block, Figure | Switch)]


def table_named(section: Section | None, identity: str) -> Table:
    (table,) = [b for b in found(section).blocks if isinstance(b, Table) and b.identity == identity]
    return table


def with_adam_changed(by: float) -> pd.DataFrame:
    """Adam's final test goodness moved; positive is better."""
    runs = generated_runs(0)
    mine = (runs["optimizer"] == "adam") & (runs["phase"] == "final")
    runs.loc[mine, "test_metric"] += by * runs.loc[mine, "higher_is_better"].map({True: 1, False: -1})
    return runs


def test_differences_count_the_verdicts_of_each_arm(evidence: Evidence) -> None:
    words = "of 8 comparisons with SGD with momentum, 2 end better, 4 worse, 2 negligibly different, 0 inconclusive"
    assert titles(paired_differences(evidence)) == [f"Tuned rates: {words}", f"Default rates: {words}"]


def test_differences_follow_the_data() -> None:
    words = "of 8 comparisons with SGD with momentum, 0 end better, 6 worse, 2 negligibly different, 0 inconclusive"
    assert titles(paired_differences(evidence_of(with_adam_changed(-0.4))))[0] == f"Tuned rates: {words}"


def test_differences_name_divergences() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["phase"] == "final"), "status"] = "diverged"
    section = paired_differences(evidence_of(runs))
    assert titles(section)[0].endswith(", 2 with a divergence")
    figure = found(section).blocks[0]
    assert isinstance(figure, Figure)
    assert "no pair finished" in figure.svg


def test_an_optimizer_that_a_problem_has_not_is_told_from_one_without_pairs() -> None:
    runs = generated_runs(0)
    runs = runs[~((runs["optimizer"] == "gd") & (runs["problem"] == "up"))]
    figure = found(paired_differences(evidence_of(runs))).blocks[0]
    assert isinstance(figure, Figure)
    assert "not run" in figure.svg and "no pair finished" not in figure.svg


def test_all_contrasts_stand_in_the_table_with_interval_and_n(evidence: Evidence) -> None:
    table = table_named(paired_differences(evidence), "contrasts")
    assert len(table.rows) == len(evidence.comparison.contrasts) == 2 * 2 * 5
    row = next(row for row in table.rows if row[:3] == ["up", "tuned", "adam − momentum"])
    assert row[3:5] == ["primary", "better"]
    assert row[5].startswith("+0.1") and row[5].endswith(f"n = {SEEDS}") and "[+0.0" in row[5]


def test_no_reference_no_differences() -> None:
    runs = generated_runs(0)
    plan_without = evidence_of(runs[runs["optimizer"] != "momentum"])
    assert paired_differences(plan_without) is None


def test_the_best_mean_is_named_with_interval_and_distance(evidence: Evidence) -> None:
    summary = evidence.comparison.summary[evidence.comparison.summary["problem"] == "up"]
    text = leader(summary, "tuned")
    assert text.startswith("Adam has the best mean with tuned rates, ")
    assert f"], n = {SEEDS} (" in text
    assert text.endswith(" behind)")
    distance = float(text.rsplit(", ", 1)[1].removesuffix(" behind)"))
    assert distance == pytest.approx(0.1, abs=0.01)


def summary_rows(*rows: tuple[str, float, int, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"arm": "tuned", "optimizer": name, "test_metric_mean": mean, "test_metric_low": mean - 0.1,
             "test_metric_high": mean + 0.1, "n_finished": finished, "n_planned": 10, "rank": rank}
            for name, mean, finished, rank in rows
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("adam", 0.5, 10, 1.0), ("sgd", 0.5, 10, 1.0), ("gd", 0.25, 10, 3.0)],
         "Adam and plain SGD share the best mean with tuned rates, 0.5 [0.4, 0.6], n = 10 (gd is next, 0.25 behind)"),
        ([("adam", 0.5 + 1e-16, 10, 1.0), ("sgd", 0.5, 10, 2.0)],
         "Adam has the best mean with tuned rates, 0.5 [0.4, 0.6], n = 10 (plain SGD is next, level with it)"),
        ([("adam", 0.5, 10, 1.0)], "Adam has the best mean with tuned rates, 0.5 [0.4, 0.6], n = 10"),
        # Means of what is left after divergences are no distance.
        ([("adam", 0.5, 10, 1.0), ("sgd", 0.9, 4, 2.0)], "Adam has the best mean with tuned rates, 0.5 [0.4, 0.6], n = 10"),
        ([("adam", np.nan, 0, np.nan)], "no run finished with tuned rates"),
    ],
)  # fmt: skip
def test_words_for_the_best_mean(rows: list[tuple[str, float, int, float]], words: str) -> None:
    assert leader(summary_rows(*rows), "tuned") == words


def test_diverged_seeds_are_written_beside_their_row() -> None:
    runs = generated_runs(0)
    runs.loc[(runs["optimizer"] == "sgd") & (runs["seed"] == 0) & (runs["phase"] == "final"), "status"] = "diverged"
    figure = found(final_metric(evidence_of(runs))).blocks[0]
    assert isinstance(figure, Figure)
    assert figure.svg.count(f"1/{SEEDS} diverged") == 2  # one an arm


@pytest.mark.parametrize(
    ("values", "higher", "limits"),
    [
        ([], True, (0.0, 1.0)),
        ([0.5, 0.5], True, (0.0, 1.0)),
        (list(np.linspace(0, 1, 101)), True, (0.12, 1.0)),
        (list(np.linspace(0, 1, 101)), False, (0.0, 0.88)),
        ([-100.0, *np.linspace(0.9, 1, 11)], True, (0.9, 1.0)),  # what is far off is drawn at the end
    ],
)
def test_the_axis_of_final_metrics_shows_the_better_end(
    values: list[float], higher: bool, limits: tuple[float, float]
) -> None:
    shown = shown_range(np.array(values), higher)
    assert shown == pytest.approx(limits, abs=0.05)


def test_curves_name_who_is_ahead_early_and_late(evidence: Evidence) -> None:
    # Losses fall by a factor of 0.6 an update for adam, 0.8 for momentum; the first evaluation is at a tenth of none.
    title = titles(convergence(evidence))[0]
    assert title.startswith("up: with tuned rates, ")
    assert "Adam at its end" in title or "Adam has the least validation loss" in title


def test_curves_of_another_winner_have_another_title(evidence: Evidence) -> None:
    curves = evidence.comparison.curves.copy()
    curves.loc[curves["optimizer"] == "sgd", "val_loss_mean"] /= 1e6
    section = convergence(changed(evidence, curves=curves))
    assert "plain SGD has the least validation loss after a tenth of the budget and at its end" in titles(section)[0]


def test_curves_can_be_switched_between_three_measures_and_three_axes(evidence: Evidence) -> None:
    switch = curve_figure(evidence, "up")
    assert switch.choices == (
        ["training loss", "validation loss", "validation metric"],
        ["updates", "examples", "seconds"],
    )
    assert len(set(switch.panels.values())) == 9


def test_curves_of_nineteen_optimizers_stay_small() -> None:
    """Four problems, 60 evaluations, two arms: well below the page's 6 MB."""
    rows = generated_plan()
    names = list(rows["optimizers"])
    generator = np.random.default_rng(0)
    many = [*names, *(f"other_{i}" for i in range(14))]
    table = pd.DataFrame(
        {
            **{name: np.zeros(19 * 2 * 60) for name in TABLES["curves"]},
            "problem": "up",
            "arm": np.repeat(["default", "tuned"], 19 * 60),
            "optimizer": np.tile(np.repeat(many, 60), 2),
            "updates": np.tile(np.arange(60.0), 38),
            "examples": np.tile(np.arange(60.0) * 32, 38),
            "epoch": np.tile(np.arange(60.0) / 6, 38),
            "train_seconds_mean": np.tile(np.arange(60.0) / 100, 38),
            "n": 10,
        }
    )
    for name in ("train_loss", "val_loss", "val_metric"):
        table[f"{name}_mean"] = np.exp(generator.normal(size=len(table)))
        table[f"{name}_low"], table[f"{name}_high"] = table[f"{name}_mean"] / 2, table[f"{name}_mean"] * 2
    plan = {**rows, "optimizers": dict.fromkeys(many, rows["optimizers"]["adam"])}
    few = evidence_of()
    switch = curve_figure(Evidence(plan, changed(few, curves=table).comparison, []), "up")
    assert sum(map(len, switch.panels.values())) + len(switch.csv) < 1_300_000


def test_who_reaches_the_target_first(evidence: Evidence) -> None:
    title = titles(time_to_target(evidence))[0]
    assert title == "Tuned rates: fewest updates to the medium target: Adam on up and Adam on down"


def test_nobody_reaches_the_target(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(n_reached=0)
    title = titles(time_to_target(changed(evidence, speed=speed)))[0]
    assert title.endswith("to the medium target: nobody, no optimizer reached it with every seed")


def test_a_ratio_to_a_run_that_missed_is_a_bound(evidence: Evidence) -> None:
    speed = evidence.comparison.speed.assign(ratio_is_bound=True, ratio_to_sgd=0.5, ratio_low=0.4, ratio_high=0.6)
    rows = table_named(time_to_target(changed(evidence, speed=speed)), "speed").rows
    assert {row[-1] for row in rows} == {f"≤ 0.5 [0.4, 0.6], n = {SEEDS}"}


def test_the_gap_names_who_is_nearest_with_its_interval(evidence: Evidence) -> None:
    gaps = evidence.comparison.gaps.copy()
    gaps["gap_mean"], gaps["gap_low"], gaps["gap_high"] = 0.2, 0.1, 0.3
    gaps.loc[(gaps["optimizer"] == "gd") & (gaps["arm"] == "default"), ["gap_mean", "gap_low", "gap_high"]] = [
        0.02, 0.01, 0.03]  # fmt: skip
    title = titles(optimum_gap(changed(evidence, gaps=gaps)))[0]
    expected = f"up: gd with default rates ends nearest the optimum, above it by 0.02 [0.01, 0.03], n = {SEEDS}"
    assert title == expected


def test_no_known_optimum_no_gap(evidence: Evidence) -> None:
    assert optimum_gap(changed(evidence, gaps=empty_table(TABLES["gaps"]))) is None


def widths_table(*rows: tuple[str, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"problem": "up", "optimizer": o, "width": w, "censored": c, "n": 2} for o, w, c in rows]
    )  # fmt: skip


def sensitivity_table(**best: float) -> pd.DataFrame:
    return pd.DataFrame(
        [{"problem": "up", "optimizer": o, "learning_rate": 0.1, "n": 2, "n_diverged": 0, "val_metric_mean": v,
          "val_metric_low": v, "val_metric_high": v, "chosen": True, "edge": ""} for o, v in best.items()]
    )  # fmt: skip


def test_the_widest_and_the_narrowest_range_of_good_rates(evidence: Evidence) -> None:
    tables = changed(
        evidence,
        widths=widths_table(("adam", 2.5, True), ("sgd", 0.5, False), ("rmsprop", 1.0, False)),
        sensitivity=sensitivity_table(adam=0.9, sgd=0.9, rmsprop=0.9),
    )
    expected = "widest range of good learning rates: Adam (at least 2.5 decades); narrowest: plain SGD (0.5 decades)"
    assert width_words(tables, "up") == expected


def test_who_is_bad_at_every_rate_is_not_called_robust(evidence: Evidence) -> None:
    tables = changed(
        evidence,
        widths=widths_table(("adam", 1.0, False), ("gd", 6.0, True)),
        sensitivity=sensitivity_table(adam=0.9, gd=0.1),  # the margin is 0.02
    )
    assert width_words(tables, "up") == "range of good learning rates: Adam (1 decades)"


def test_no_rate_finished(evidence: Evidence) -> None:
    tables = changed(evidence, widths=widths_table(("adam", np.nan, False)))
    assert width_words(tables, "up") == "no learning rate finished with every seed"


@pytest.mark.parametrize(
    ("means", "higher", "limits"),
    [([], True, (0.0, 1.0)), ([0.2, 0.9], True, (0.2, 0.9)), ([0.5, 0.6, 0.7, 1e6], False, (0.5, 1.5))],
)
def test_the_axis_of_sensitivity_shows_the_better_end(
    means: list[float], higher: bool, limits: tuple[float, float]
) -> None:
    assert value_range(pd.Series(means, dtype=float), higher) == pytest.approx(limits)


def test_no_tuning_no_sensitivity() -> None:
    runs = generated_runs(0)
    assert sensitivity(evidence_of(runs[runs["phase"] == "final"])) is None


def test_alarms_are_counted_and_listed(evidence: Evidence) -> None:
    table = table_named(alarms(evidence), "alarm-table")
    assert table.title == "What to be wary of: 2 × edge"
    assert [row[3] for row in table.rows] == ["rmsprop", "rmsprop"]


def test_no_alarm_is_said(evidence: Evidence) -> None:
    (block,) = alarms(changed(evidence, alarms=empty_table(TABLES["alarms"]))).blocks
    assert getattr(block, "text", "").startswith("No run diverged, failed or is missing")


def test_models_show_layers_total_and_count(evidence: Evidence) -> None:
    table = table_named(models(evidence), "model-up")
    assert table.rows == [["dense", "Dense", "(None, 2)", "53"], ["total", "", "", "53"]]
    assert "12 + 20 + 10 + 4 + 5 + 2 = 53. 32 training, 8 validation, 8 test examples" in table.caption


@pytest.mark.parametrize(("grid", "words"), [([0.001, 0.1], "0.001 … 0.1 (2)"), ([None], "none"), ([], "none")])
def test_words_for_a_grid(grid: list[float | None], words: str) -> None:
    assert grid_words(grid) == words


def test_the_protocol_has_the_experiments_own_numbers() -> None:
    seeds = {"final": 7, "tuning": 2}
    rules = dict(table_named(protocol(evidence_of(seeds=seeds)), "rules").rows)
    assert rules["Seeds"].startswith("7 final seeds")
    assert "2 tuning seeds" in rules["Grid"]


def test_provenance_lets_the_reader_do_it_again(evidence: Evidence) -> None:
    section = provenance(evidence)
    config = yaml.safe_load(getattr(section.blocks[-1], "text", ""))
    assert Config.model_validate(config) == Config.model_validate(evidence.plan["config"])
    rows = dict(table_named(section, "versions").rows)
    assert rows["git_commit"] == "abc" and rows["up: data (sha256)"] == "d" * 64
    assert rows["MLflow experiment"] == "generated"
    assert "descentlab.run_id" in rows["MLflow tag of a run"]


def test_a_download_holds_five_digits() -> None:
    link = csv_link(pd.DataFrame({"name": ["a,b"], "value": [1 / 3]}))
    text = base64.b64decode(link.removeprefix("data:text/csv;charset=utf-8;base64,")).decode()
    assert text == 'name,value\n"a,b",0.33333\n'
    assert pd.read_csv(io.StringIO(text))["name"].tolist() == ["a,b"]


def test_names_in_the_order_of_the_plan_once() -> None:
    assert present(["b", "a", "b"], ["a", "c", "b"]) == ["a", "b"]


def renamed(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    columns = [c for c in ("problem", "optimizer", "first", "second") if c in table]
    return table.assign(**{column: table[column].replace(names) for column in columns})


def test_hostile_names_are_escaped_everywhere() -> None:
    """A config's names are plain; should that ever change, the page still holds no tag that it did not write."""
    names = {"adam": '<script>x("1")</script>', "up": "</svg><img src=x onerror=y>'", "sgd": "$\\frac{1$ & ]]> -->"}
    good = evidence_of()
    comparison = dataclasses.replace(
        good.comparison, **{name: renamed(getattr(good.comparison, name), names) for name in TABLES}
    )
    plan = {
        **good.plan,
        "problems": {names.get(k, k): v for k, v in good.plan["problems"].items()},
        "optimizers": {names.get(k, k): v for k, v in good.plan["optimizers"].items()},
    }
    hostile = Evidence(plan, comparison, [])
    page = render(hostile, [section for make in SECTIONS if (section := make(hostile)) is not None])
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;" in page and "&lt;img" in page
