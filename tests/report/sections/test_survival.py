"""Time to target as curves: every sentence follows hand-made times, censored ones too."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.report.blocks import Figure
from descentlab.report.plotting import new_figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.survival import (
    draw_survival,
    median_words,
    names_to_draw,
    profile_figure,
    survival_figure,
)
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import hand_made, values_of

MISS = 1000
SEEDS = 10


def times(
    updates: dict[str, list[int]], problem: str = "up", budget: int = MISS, target: str = "medium"
) -> pd.DataFrame:
    """A row a run; an update at the budget is a miss."""
    rows = [
        {
            "problem": problem,
            "arm": "tuned",
            "optimizer": name,
            "seed": seed,
            "run_id": f"{name}-{seed}",
            "target": target,
            "target_val_loss": 0.5,
            "reached": value < budget,
            "updates": value,
            "budget_updates": budget,
            "batch_size": 8,
        }
        for name, values in updates.items()
        for seed, value in enumerate(values)
    ]
    return check_table(pd.DataFrame(rows), TABLES["reached"], "hand-made")


def profiles(shares: dict[str, list[float]], n: int) -> pd.DataFrame:
    """Shares at factors 1, 2 and 4; as integral the last, and what is left of it half and all of that."""
    rows = [
        {
            **{"arm": "tuned", "target": "medium", "optimizer": name, "ratio": ratio, "share": share, "n": n},
            **{"integral": values[-1], "integral_least": values[-1] / 2, "integral_most": values[-1]},
        }
        for name, values in shares.items()
        for ratio, share in zip((1.0, 2.0, 4.0), values, strict=True)
    ]
    return check_table(pd.DataFrame(rows), TABLES["profiles"], "hand-made")


def evidence(reached: pd.DataFrame | None = None, table: pd.DataFrame | None = None) -> Evidence:
    tables = {
        "reached": empty_table(TABLES["reached"]) if reached is None else reached,
        "profiles": empty_table(TABLES["profiles"]) if table is None else table,
    }
    return Evidence(generated_plan(), hand_made(**tables), [])


def drawn(reached: pd.DataFrame) -> Figure:
    figure = survival_figure(evidence(reached), "tuned")
    assert figure is not None
    return figure


FAST, SLOW = [*range(10, 20)], [*range(100, 110)]


def test_nothing_reached_or_another_arm_no_figure() -> None:
    assert survival_figure(evidence(), "tuned") is None
    assert survival_figure(evidence(times({"adam": FAST})), "default") is None
    assert survival_figure(evidence(times({"adam": FAST}, target="easy")), "tuned") is None
    assert profile_figure(evidence(), "tuned") is None


def test_who_is_first_follows_the_times() -> None:
    # The interval of the median of 10 runs from the second to the ninth: 1 - 22 / 1024 of cover.
    reached, median = [2, 2, "up"], [14, 11, 18, 10]
    assert values_of(drawn(times({"adam": FAST, "sgd": SLOW})).takeaway) == [*reached, "adam", *median]
    assert values_of(drawn(times({"adam": SLOW, "sgd": FAST})).takeaway) == [*reached, "sgd", *median]


def test_a_median_that_others_share_is_said_to_be_shared() -> None:
    shared = drawn(times({"adam": FAST, "sgd": FAST, "momentum": FAST, "rmsprop": SLOW}))
    assert values_of(shared.takeaway)[:3] == [4, 4, "up"] and 2 in values_of(shared.takeaway)
    assert 2 not in values_of(drawn(times({"adam": FAST, "sgd": SLOW, "momentum": SLOW, "rmsprop": SLOW})).takeaway)


def test_runs_that_missed_count_against_their_optimizer() -> None:
    half = [*FAST[:5], *[MISS] * 5]
    takeaway = drawn(times({"adam": half, "sgd": SLOW})).takeaway
    assert values_of(takeaway) == [1, 2, "up", "adam", 14, 11, np.inf, 10]
    few = [*FAST[:4], *[MISS] * 6]
    takeaway = drawn(times({"adam": few, "sgd": [MISS] * 10})).takeaway
    assert values_of(takeaway) == [0, 2, "up", "adam", 4, 10]  # no median: who reached it most often


def test_problems_are_kept_apart() -> None:
    reached = pd.concat([times({"adam": FAST, "sgd": SLOW}), times({"adam": SLOW, "sgd": FAST}, problem="down")])
    median = [14, 11, 18, 10]
    assert values_of(drawn(reached).takeaway) == [2, 2, "up", "adam", *median, 2, 2, "down", "sgd", *median]


def test_full_batch_is_drawn_with_its_own_budget_and_never_first() -> None:
    figure = drawn(pd.concat([times({"gd": [*range(1, 11)]}, budget=40), times({"adam": FAST})]))
    assert values_of(figure.takeaway)[:4] == [2, 2, "up", "adam"]
    assert "<title>gd</title>" in figure.svg and "<title>adam</title>" in figure.svg


def test_the_slides_optimizers_are_drawn_else_the_first_few() -> None:
    assert names_to_draw(["sgd", "lion", "adam", "muon"]) == ["sgd", "adam"]
    assert names_to_draw([f"own_{i}" for i in range(20)]) == [f"own_{i}" for i in range(8)]
    whole = drawn(times({"adam": FAST, "rmsprop": SLOW}))
    rest = {f"own_{i}": SLOW for i in range(2)}
    one, two = (drawn(times({"adam": FAST, **dict(list(rest.items())[:n])})) for n in (1, 2))
    assert one.caption.startswith(f"{whole.caption} ") and two.caption.startswith(f"{whole.caption} ")
    added = [values_of(figure.caption.removeprefix(whole.caption)) for figure in (one, two)]
    assert added == [[], [2]]  # one is said without a number


def test_a_curve_is_kaplan_meiers_with_a_cross_where_runs_were_cut_off() -> None:
    figure, (axes,) = new_figure(1, 1, 1)
    draw_survival(axes, times({"adam": [10, 20, 20, MISS]}), "adam", 0.0)
    curve, cross = axes.lines
    np.testing.assert_allclose(np.asarray(curve.get_xdata())[1:], [10, 20, MISS])
    np.testing.assert_allclose(np.asarray(curve.get_ydata()), [1, 0.75, 0.25, 0.25])
    assert (cross.get_marker(), cross.get_xdata(), cross.get_ydata()) == ("x", [MISS], [0.25])
    draw_survival(axes, times({"sgd": [10, 20, 20, 30]}), "sgd", 0.0)
    assert len(axes.lines) == 3  # every seed is there: nothing was cut off
    plt.close(figure)


@pytest.mark.parametrize(
    ("updates", "median", "ends"),
    [
        ([5, 1, 3], 3, []),  # three runs can't hold a median with 95 %
        ([1, 2, 3, 4, 5, 6], 3, [1, 6]),  # 1 - 2 / 2 ** 6 of cover
        ([1, MISS, MISS], np.inf, []),
    ],
)
def test_medians_by_hand(updates: list[int], median: float, ends: list[int]) -> None:
    value, text = median_words(times({"adam": updates}))
    assert value == median and values_of(text) == [median, *ends, len(updates)]


def test_profiles_name_who_is_fastest_and_who_is_never_far_behind() -> None:
    table = profiles({"adam": [0.5, 0.5, 0.5], "sgd": [0.25, 1.0, 1.0], "momentum": [0.25, 0.5, 1.0]}, n=4)
    figure = profile_figure(evidence(table=table), "tuned")
    assert figure is not None
    assert values_of(figure.takeaway) == ["adam", 2, 4, "sgd", 4, 4, "sgd", "momentum", 1, 0.5, 1]
    assert profile_figure(evidence(table=table), "default") is None


def test_a_share_of_one_problem_is_no_share() -> None:
    assert profile_figure(evidence(table=profiles({"adam": [1.0, 1.0, 1.0]}, n=1)), "tuned") is None


@pytest.mark.parametrize(
    ("names", "share", "values"),
    [
        (("adam", "sgd"), 0.5, ["sgd", "adam", 1, 2]),
        (("adam", "sgd", "momentum", "rmsprop"), 0.5, [4, 1, 2]),
        (("adam", "sgd"), 0.0, [0, 2]),  # nobody
    ],
)
def test_who_is_level_is_named_or_counted(names: tuple[str, ...], share: float, values: list[str | float]) -> None:
    figure = profile_figure(evidence(table=profiles({name: [share] * 3 for name in names}, n=2)), "tuned")
    assert figure is not None
    # Fastest, within twice the fastest, and the largest integral with what is left of it.
    assert values_of(figure.takeaway) == [*2 * values, *values[:-2], share, share / 2, share]
