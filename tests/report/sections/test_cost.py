"""What a step costs and whether it pays: every sentence follows hand-made tables."""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.break_even import BREAK_EVEN_COLUMNS
from descentlab.experiment.operations import OPERATIONS_COLUMNS
from descentlab.experiment.step_cost import STEP_COST_COLUMNS
from descentlab.report.blocks import Paragraph
from descentlab.report.plotting import new_figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.break_even import draw_ratio
from descentlab.report.sections.cost import cost
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import PROBLEMS, generated_plan
from support.report_evidence import hand_made, table_named, titles, values_of

WOBBLE = np.array([0.99, 1.0, 1.01])


def cost_rows(model: str = "mlp", parameters: int = 4810, peak: float = np.nan, **steps: float) -> pd.DataFrame:
    """Three rounds, plain SGD's step always 10 µs and its update 1; an update of the others takes twice their step."""
    rows = [
        {
            "model": model,
            "parameters": parameters,
            "batch_size": 32,
            "optimizer": name,
            "round": number,
            "steps": 9 + number,
            "update_microseconds": 1.0 if name == "sgd" else 2 * step * wobble,
            "step_microseconds": step * wobble,
            "state_bytes_per_parameter": 8.0 * (name == "adam"),
            "device": "CPU",
            "device_peak_bytes": peak,
        }
        for name, step in {"sgd": 10.0, **steps}.items()
        for number, wobble in enumerate(WOBBLE if name != "sgd" else np.ones(3))
    ]
    return check_table(pd.DataFrame(rows), STEP_COST_COLUMNS, "hand-made")


def operations_rows(model: str, gradient: float = 135.0, **operations: float) -> pd.DataFrame:
    """An update reads and writes 12 bytes by plain SGD, and 28 by the others."""
    rows = [
        {
            "model": model,
            "parameters": 4810,
            "batch_size": 32,
            "optimizer": name,
            "update_operations": count,
            "update_bytes": 12.0 if name == "sgd" else 28.0,
            "update_size": 1.0,
            "gradient_operations": gradient,
        }
        for name, count in operations.items()
    ]
    return check_table(pd.DataFrame(rows), OPERATIONS_COLUMNS, "hand-made")


def pay_row(
    ratio: float, bound: str = "", problem: str = "up", optimizer: str = "adam", arm: str = "tuned"
) -> dict[str, Any]:
    """A row of the break-even table: the ratio of seconds ± 10 %, that of updates half of it."""
    values = {name: 1.0 for name, column in BREAK_EVEN_COLUMNS.items() if column.dtype == "float64"}
    return {
        **values,
        "problem": problem,
        "arm": arm,
        "target": "medium",
        "optimizer": optimizer,
        "n_seeds": 6,
        "n_reached": 6,
        "n_reached_sgd": 6,
        "n_rounds": 3,
        "bound": bound,
        "updates_ratio": ratio / 2,
        "updates_low": ratio * 0.45,
        "updates_high": ratio * 0.55,
        "step_ratio": 2.0,
        "seconds_ratio": ratio,
        "seconds_low": ratio * 0.9,
        "seconds_high": ratio * 1.1,
        "break_even": 2 / ratio,
        "break_even_low": 1.8 / ratio,
        "break_even_high": 2.2 / ratio,
        "seconds_saved": -0.002,
        "saved_low": -0.003,
        "saved_high": -0.001,
        "extra_state_bytes": 38480.0,
    }


def evidence(
    costs: pd.DataFrame | None = None,
    pays: list[dict[str, Any]] | None = None,
    operations: pd.DataFrame | None = None,
) -> Evidence:
    table = (
        check_table(pd.DataFrame(pays), BREAK_EVEN_COLUMNS, "hand-made") if pays else empty_table(BREAK_EVEN_COLUMNS)
    )
    tables = {"step_cost": costs, "operations": operations}
    measured = {name: found for name, found in tables.items() if found is not None}
    return Evidence(generated_plan(), hand_made(break_even=table), [], measured)


def test_nothing_measured_no_section() -> None:
    assert cost(evidence()) is None
    assert cost(evidence(empty_table(STEP_COST_COLUMNS))) is None


def test_a_slower_step_is_called_slower_and_a_faster_one_not() -> None:
    dear, cheap = (titles(cost(evidence(cost_rows(adam=step, momentum=10.0))))[0] for step in (20.0, 5.0))
    assert values_of(dear) == ["adam", 2, 1.95, 2.05, 3, "mlp", "sgd", "sgd", 1, 2, "mlp"]
    assert values_of(cheap) == ["adam", 0.5, 0.488, 0.513, 3, "mlp", "sgd", "sgd", 0, 2, "mlp"]
    assert "slower" in dear and "slower" in cheap


def test_operations_are_said_of_the_update_and_of_the_whole_step() -> None:
    table = operations_rows("mlp", sgd=1.0, adam=8.0)
    shown = table_named(cost(evidence(operations=table)), "operations")
    assert values_of(shown.title) == ["adam", 8, 8, "sgd", 1.05, 1.05]
    assert [row[4:] for row in shown.rows] == [["1", "12", "135", "1"], ["8", "28", "135", "1.05"]]


def test_without_adam_the_dearest_is_named() -> None:
    title = titles(cost(evidence(cost_rows(momentum=12.0, rmsprop=30.0))))[0]
    assert values_of(title)[:2] == ["rmsprop", 3]


def test_models_stand_by_size() -> None:
    models = {"slides_cnn": 319_370, "slides_mlp": 53, "mlp": 4_810, "up": 60, "down": 70}
    costs = pd.concat([cost_rows(name, parameters, adam=20.0) for name, parameters in models.items()])
    section = cost(evidence(costs))
    by_size = ["slides_mlp", "up", "down", "mlp", "slides_cnn"]
    assert values_of(titles(section)[0])[-15:] == [value for name in by_size for value in (1, 1, name)]
    rows = table_named(section, "step-costs").rows
    assert [row[0] for row in rows if row[3] == "adam"] == by_size


def test_all_costs_in_figures() -> None:
    table = table_named(cost(evidence(cost_rows(adam=20.0))), "step-costs")
    assert table.rows == [
        ["mlp", "4,810", "32", "sgd", "10", "1 [1, 1], n = 3", "0"],
        ["mlp", "4,810", "32", "adam", "20", "2 [1.95, 2.05], n = 3", "8"],
    ]
    assert [value for value in values_of(table.caption) if value in (9, 11)] == [9, 11] and "CPU" in table.caption
    data = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(table.csv))))
    assert list(data) == list(STEP_COST_COLUMNS) and len(data) == 6


def test_full_batch_has_a_row_with_its_own_batch_size_and_no_mark_in_the_panel() -> None:
    full = cost_rows(gd=50.0, peak=7e6).query("optimizer == 'gd'").assign(batch_size=128)
    section = cost(evidence(pd.concat([cost_rows(adam=20.0, peak=1e6), full])))
    rows = table_named(section, "step-costs").rows
    assert [(row[3], row[2], row[4], row[-1]) for row in rows] == [
        ("sgd", "32", "10", "1"),
        ("adam", "32", "20", "1"),
        ("gd", "128", "50", "7"),
    ]
    assert values_of(titles(section)[0]) == ["adam", 2, 1.95, 2.05, 3, "mlp", "sgd", "sgd", 1, 1, "mlp"]


def left_out(costs: pd.DataFrame | None, operations: pd.DataFrame | None, *measurements: str) -> dict[str, str]:
    """The paragraphs about what was not measured, of an experiment that asks for these measurements."""
    asked = replace(evidence(costs, operations=operations), plan=generated_plan(measurements=list(measurements)))
    section = cost(asked)
    blocks = section.blocks if section else []
    return {block.identity: block.text for block in blocks if isinstance(block, Paragraph)}


def test_what_a_measurement_left_out_is_said() -> None:
    """An optimizer on one problem, and a problem without any row; only where it was to be measured."""
    everything = pd.concat([cost_rows(name, gd=9.0, momentum=9.0, adam=9.0, rmsprop=9.0) for name in PROBLEMS])
    assert left_out(everything, None, "step_cost") == {}
    some = everything[(everything["model"] == "up") & (everything["optimizer"] != "rmsprop")]
    assert left_out(some, None) == {}
    said = left_out(some, None, "step_cost")
    assert list(said) == ["left-out-step_cost"] and "rmsprop on up and down" in said["left-out-step_cost"]
    counted = operations_rows("up", sgd=1.0, adam=8.0, momentum=3.0)
    said = left_out(everything, counted, "step_cost", "operations")
    assert list(said) == ["left-out-operations"] and "rmsprop on up and down" in said["left-out-operations"]
    assert "gd" not in said["left-out-operations"].split()  # its update is plain SGD's


def test_with_nothing_measured_of_what_was_asked_for_the_page_says_so() -> None:
    said = left_out(empty_table(STEP_COST_COLUMNS), empty_table(OPERATIONS_COLUMNS), "step_cost", "operations")
    assert set(said) == {"left-out-step_cost", "left-out-operations"}
    assert all("up and down" in text for text in said.values())


def test_what_could_not_be_counted_is_unknown() -> None:
    counted = pd.concat(
        [operations_rows("mlp", sgd=1.0, adam=8.0), operations_rows("up", sgd=1.0, adam=8.0, gradient=np.nan)]
    )
    shown = table_named(cost(evidence(operations=counted)), "operations")
    assert values_of(shown.title) == ["adam", 8, 8, "sgd", 1.05, 1.05]
    assert [row[6:] for row in shown.rows] == [["135", "1"], ["135", "1.05"], ["unknown"] * 2, ["unknown"] * 2]


def test_a_devices_peak_is_shown_where_there_is_one() -> None:
    table = table_named(cost(evidence(cost_rows(adam=20.0, peak=5e6))), "step-costs")
    without = table_named(cost(evidence(cost_rows(adam=20.0))), "step-costs")
    assert len(table.headers) == len(without.headers) + 1 == len(table.rows[0])
    assert {row[-1] for row in table.rows} == {"5"}


@pytest.mark.parametrize(
    ("ratio", "bound", "yes", "no", "undecided", "sign"),
    [
        (0.5, "", 1, 0, 0, ""),
        (2.0, "", 0, 1, 0, ""),
        (1.0, "", 0, 0, 1, ""),
        (0.5, "at most", 1, 0, 0, "≤ "),
        (0.5, "at least", 0, 0, 1, "≥ "),
    ],
)
def test_whether_it_pays_follows_the_ratio_and_its_bound(
    ratio: float, bound: str, yes: int, no: int, undecided: int, sign: str
) -> None:
    title = titles(cost(evidence(cost_rows(adam=20.0), [pay_row(ratio, bound)])))[1]
    counts, adam = title.split("; ")
    assert counts.startswith("Tuned") and values_of(counts) == [yes, 1, "sgd", no, undecided]
    assert values_of(adam) == ["adam", "up", ratio, pytest.approx(0.9 * ratio), pytest.approx(1.1 * ratio), 6]
    told = [state for state in ("won", "lost", "undecided") if state in adam.split()]
    assert told == ["won"] * yes + ["lost"] * no + ["undecided"] * undecided
    assert f"({sign}{ratio:g} " in adam


def test_arms_and_problems_are_kept_apart() -> None:
    pays = [pay_row(0.5), pay_row(2.0, problem="down"), pay_row(2.0, optimizer="rmsprop"), pay_row(3.0, arm="default")]
    tuned, default = titles(cost(evidence(cost_rows(adam=20.0), pays)))[1:]
    counts, adam = tuned.split("; ")
    assert counts.startswith("Tuned") and values_of(counts) == [1, 3, "sgd", 2, 0]
    won, lost = adam[: adam.index("lost")], adam[adam.index("lost") :]
    assert "won" in won and values_of(won)[:3] == ["adam", "up", 0.5] and values_of(lost)[:2] == ["down", 2]
    assert default.startswith("Default") and values_of(default)[:4] == [0, 1, "sgd", 1]


def test_what_falls_as_the_ratio_grows_is_bounded_the_other_way() -> None:
    section = cost(evidence(cost_rows(adam=20.0), [pay_row(0.5, "at most")]))
    assert table_named(section, "break-even").rows == [
        [
            "up",
            "tuned",
            "medium",
            "adam",
            "6 / 6 of 6",
            "≤ 0.25 [0.225, 0.275], n = 6",
            "2 [1, 1], n = 3",
            "≤ 0.5 [0.45, 0.55], n = 6",
            "won",
            "≥ 4 [3.6, 4.4], n = 6",
            "≥ −2 [−3, −1], n = 6",
            "38,480",
        ]
    ]


@pytest.mark.parametrize(("bound", "marker"), [("", "o"), ("at most", "<"), ("at least", ">"), ("unknown", "o")])
def test_a_bound_is_hollow_and_points_to_where_the_truth_lies(bound: str, marker: str) -> None:
    figure, (axes,) = new_figure(1, 1, 1)
    draw_ratio(axes, pay_row(0.5, bound), 0)
    mark = axes.lines[-1]
    assert (mark.get_marker(), mark.get_xdata()) == (marker, [0.5])
    assert (mark.get_markerfacecolor() == "none") is bool(bound)
    plt.close(figure)
