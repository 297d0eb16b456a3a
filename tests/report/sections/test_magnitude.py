"""Scaled losses, rare classes and the linear construction: every sentence follows hand-made tables."""

from __future__ import annotations

import base64
import gzip
import io
import re
from itertools import pairwise
from typing import cast

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from descentlab.analysis.comparison import Comparison
from descentlab.analysis.statistics.intervals import average_by
from descentlab.measurements import imbalance as classes
from descentlab.measurements import linear_construction as linear
from descentlab.measurements.imbalance import IMBALANCE_COLUMNS
from descentlab.measurements.linear_construction import CONSTRUCTION_COLUMNS
from descentlab.measurements.loss_scale import LOSS_SCALE_COLUMNS
from descentlab.report.blocks import Figure
from descentlab.report.phrases import VARIANTS
from descentlab.report.sections import Evidence
from descentlab.report.sections.magnitude import GROUP_TITLES, magnitude
from descentlab.storage.tables import check_table, empty_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found, titles, values_of

HALF = float(stats.t.ppf(0.975, 1)) * 0.01  # of a t interval over two seeds that lie 0.02 apart


def scale_table(**distances: tuple[float, float]) -> pd.DataFrame:
    """Mean relative distance at 0.001 and at 1,000; two seeds, a hundredth below and above."""
    rows = [
        {
            "scale": scale,
            "seed": seed,
            "optimizer": name,
            "learning_rate": 0.1,
            "updates": 20,
            "relative_distance": mean + (0.02 * seed - 0.01) * (mean > 0),
            "train_loss": 1.0,
            "diverged": scale > 1,
        }
        for name, means in distances.items()
        for scale, mean in zip((1e-3, 1e3), means, strict=True)
        for seed in (0, 1)
    ]
    return check_table(pd.DataFrame(rows), LOSS_SCALE_COLUMNS, "hand-made")


def loss_table(**ends: tuple[float, float]) -> pd.DataFrame:
    """Final mean loss of rare and of frequent classes, from 4 at the start."""
    rows = [
        {
            "optimizer": name,
            "seed": seed,
            "group": group,
            "classes": classes,
            "n_examples": 50,
            "learning_rate": 0.1,
            "updates": updates,
            "loss": (end if updates else 4.0) + 0.02 * seed - 0.01,
        }
        for name, means in ends.items()
        for group, classes, end in (("rare", 9, means[0]), ("frequent", 2, means[1]), ("all", 11, sum(means) / 2))
        for updates in (0, 1, 30)
        for seed in (0, 1)
    ]
    return check_table(pd.DataFrame(rows), IMBALANCE_COLUMNS, "hand-made")


def error_table(errors: dict[str, dict[str, float]]) -> pd.DataFrame:
    """{variant: {optimizer: test error}} on two seeds; the rarer class has 0.4 of the examples."""
    rows = [
        {
            "variant": variant,
            "optimizer": name,
            "seed": seed,
            "n_examples": 7,
            "learning_rate": 0.1,
            "updates": 20,
            "train_error": 0.0,
            "test_error": error,
            "negative_share": 0.4,
            "train_loss": 0.0,
        }
        for variant, of_variant in errors.items()
        for name, error in of_variant.items()
        for seed in (0, 1)
    ]
    return check_table(pd.DataFrame(rows), CONSTRUCTION_COLUMNS, "hand-made")


def evidence(**measured: pd.DataFrame) -> Evidence:
    return Evidence(generated_plan(), cast(Comparison, None), [], measured)


def figure(**measured: pd.DataFrame) -> Figure:
    (block,) = found(magnitude(evidence(**measured))).blocks
    assert isinstance(block, Figure)
    return block


def test_nothing_measured_no_section() -> None:
    assert magnitude(evidence()) is None
    assert magnitude(evidence(imbalance=empty_table(IMBALANCE_COLUMNS))) is None


def test_each_table_has_a_figure_and_only_those_that_are_there() -> None:
    tables = {
        "construction": error_table({"full_batch": {"sgd": 0.0}}),
        "imbalance": loss_table(sgd=(3.0, 1.0)),
        "loss_scale": scale_table(sgd=(0.9, 0.9)),
    }
    section = found(magnitude(evidence(**tables)))
    assert [getattr(block, "identity", "") for block in section.blocks] == ["loss-scale", "imbalance", "construction"]
    assert len(titles(magnitude(evidence(imbalance=tables["imbalance"])))) == 1


def test_intervals_are_those_of_student() -> None:
    """Two seeds 0.02 apart: their deviation is 0.02 / √2, the mean's 0.01, and t is 12.7."""
    table = average_by(scale_table(sgd=(0.5, 0.5)), ["optimizer", "scale"], ["relative_distance"])
    (row,) = table.to_dict("records")[:1]
    assert (row["optimizer"], row["scale"], row["n"]) == ("sgd", 1e-3, 2)
    ends = [row[f"relative_distance_{end}"] for end in ("mean", "low", "high")]
    assert ends == pytest.approx([0.5, 0.5 - HALF, 0.5 + HALF])


def test_who_keeps_the_path_is_named_and_how_far_the_others_move() -> None:
    kept = figure(loss_scale=scale_table(sgd=(0.9, 0.8), adagrad=(0.0, 0.0), adam=(0.2, 0.0)))
    still = ["adagrad", 0, 0, 0, 2]
    assert values_of(kept.takeaway) == [
        *(0.001, 1000, "adagrad"),
        *(0.001, "sgd", 0.9, 0.773, 1.03, 2, *still),
        *(1000, "sgd", 0.8, 0.673, 0.927, 2, *still),
    ]
    moved = figure(loss_scale=scale_table(sgd=(0.0, 0.0), adagrad=(0.9, 0.7)))
    assert values_of(moved.takeaway)[:3] == [0.001, 1000, "sgd"]
    assert ["adagrad", 0.9] in [list(pair) for pair in pairwise(values_of(moved.takeaway))]


def test_nobody_keeps_the_path_and_neither_of_the_two_is_there() -> None:
    shown = figure(loss_scale=scale_table(adam=(0.2, 0.0)))
    assert values_of(shown.takeaway) == [0.001, 1000]
    assert ", ".join(map(str, (2, 20, 2, 4))) in ", ".join(f"{value:g}" for value in values_of(shown.caption))


def test_one_seed_has_no_interval_to_call_a_path_kept_by() -> None:
    table = scale_table(adagrad=(0.0, 0.0))
    assert "adagrad" not in values_of(figure(loss_scale=table[table["seed"] == 0]).takeaway)[:3]


def test_the_least_and_the_most_loss_follow_the_data() -> None:
    slow = figure(imbalance=loss_table(sgd=(3.0, 1.0), momentum=(2.0, 0.5), adam=(0.5, 0.7)))
    least_and_most = [30, "adam", 0.5, 2, "sgd", 3, 2, "momentum", 0.5, 2, "sgd", 1, 2]  # of rare, of frequent classes
    assert values_of(re.sub(r" \[[^]]*\]", "", slow.takeaway)) == least_and_most
    fast = figure(imbalance=loss_table(sgd=(0.5, 1.0), adam=(3.0, 2.0)))
    rare, _ = re.sub(r" \[[^]]*\]", "", fast.takeaway).split("; ")
    assert values_of(rare) == [30, "sgd", 0.5, 2, "adam", 3, 2]
    alone = figure(imbalance=loss_table(sgd=(0.5, 1.0)))
    assert values_of(re.sub(r" \[[^]]*\]", "", alone.takeaway)) == [30, "sgd", 0.5, 2, "sgd", 1, 2]


def test_the_imbalance_figure_says_what_it_shows() -> None:
    shown = figure(imbalance=loss_table(sgd=(3.0, 1.0), adam=(0.5, 0.7)))
    # Rare classes and their examples, frequent ones and theirs; interval and seeds; the rates.
    values = ", ".join(map(str, values_of(shown.caption)))
    assert ", ".join(map(str, [9.0, 50.0, 2.0, 50.0])) in values and "95.0, 2.0, sgd, 0.1, adam, 0.1" in values
    assert f'aria-label="{shown.takeaway}. ' in shown.svg
    assert shown.svg.count(">adam</text>") == 3  # one a panel
    data = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(shown.csv))))
    assert len(data) == 2 * 3 * 3
    end = data[(data["optimizer"] == "adam") & (data["group"] == "rare") & (data["updates"] == 30)]
    assert end["loss_mean"].item() == pytest.approx(0.5)


def test_names_stand_beside_the_ends_of_their_lines() -> None:
    """On the common loss axis: from the top sgd, then adam, in every panel."""
    shown = figure(imbalance=loss_table(sgd=(3.0, 2.9), adam=(0.01, 0.02)))
    heights = {
        name: [float(y) for y in re.findall(rf'<text[^>]* y="([\d.]+)"[^>]*>{name}</text>', shown.svg)]
        for name in ("sgd", "adam")
    }
    assert len(heights["sgd"]) == len(heights["adam"]) == 3
    assert np.subtract(heights["adam"], heights["sgd"]).min() > 100  # of 180 points
    assert np.ptp(heights["sgd"]) < 5


def test_the_construction_as_published_and_the_other_way_round() -> None:
    published = figure(
        construction=error_table(
            {
                "full_batch": {"sgd": 0.0, "momentum": 0.0, "adagrad": 0.4, "adam": 0.4},
                "mini_batches": {"sgd": 0.0, "adam": 0.0},
            }
        )
    )
    rarer = [0.4, 0.4, 0.4, 2]
    assert values_of(published.takeaway) == ["adagrad", "adam", *rarer, "sgd", "momentum", "sgd", "adam"]
    other = figure(construction=error_table({"full_batch": {"sgd": 0.4, "adam": 0.0, "rmsprop": 0.1}}))
    assert values_of(other.takeaway) == ["sgd", *rarer, "adam", "rmsprop", 0.1, 0.1, 0.1, 2]
    assert {7, 20, 2} <= set(values_of(other.caption))


def test_every_group_variant_and_name_can_be_translated() -> None:
    assert set(GROUP_TITLES) == {classes.RARE, classes.MIDDLE, classes.FREQUENT, classes.ALL}
    assert set(VARIANTS) == set(linear.VARIANTS)
