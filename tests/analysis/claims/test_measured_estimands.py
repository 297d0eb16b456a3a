"""Estimands of dedicated measurements: on small tables, the verdict that the numbers in them call for."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.judgment import judge_claim, read_claims
from descentlab.analysis.claims.ledger import ESTIMANDS
from descentlab.analysis.remarks import remark
from support.comparison_fixture import generated_plan, generated_runs

CLAIMS = {claim.id: claim for claim in read_claims()}
SEEDS = np.arange(6)
SPREAD = 1e-3 * np.array([-1, 1, -1, 1, -1, 1])  # of seeds: far less than any margin


def entry(claim: str, **measured: pd.DataFrame) -> dict[str, Any]:
    """The claim's entry in the ledger of an experiment without runs."""
    runs, asked = generated_runs(0)[:0], CLAIMS[claim]
    evidence = ClaimEvidence(generated_plan(), runs, runs, {}, runs, measured)
    return judge_claim(asked, *ESTIMANDS[asked.estimand](evidence, asked))


def verdicts(claim: str, **measured: pd.DataFrame) -> list[str]:
    """The verdict of each piece."""
    return [str(piece["verdict"]) for piece in entry(claim, **measured)["pieces"]]


def by_seed(values: dict[Any, float], columns: list[str], value: str) -> pd.DataFrame:
    """A row for every seed and key, whose parts are the named columns; seeds shift all keys alike, and the first one a little."""
    first = next(iter(values))
    return pd.DataFrame(
        [
            {
                **dict(zip(columns, key, strict=True)),
                "seed": seed,
                value: mean + seed / 10 + (key == first) * SPREAD[seed],
            }
            for key, mean in values.items()
            for seed in SEEDS
        ]
    )


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("costlier-steps", "operations not counted"),
        ("overfits-less", "batch sizes not compared"),
        ("escapes-minima", "no landscape"),
        ("several-minima", "no minima"),
        ("all-in-memory", "memory not measured"),
        ("adam-is", "composition not measured"),
        ("normalized-magnitude", "no adagrad measurement"),
    ],
)
def test_what_was_not_measured_is_not_tested(claim: str, code: str) -> None:
    found = entry(claim)
    assert (found["verdict"], found["pieces"], found["reason"]) == ("not tested", [], {"code": code})


def test_operations_are_of_the_update_and_of_the_whole_step_and_exact() -> None:
    counts = {"model": "mlp", "parameters": 4810, "batch_size": 32, "gradient_operations": 132.0}
    rows = [
        {**counts, "optimizer": name, "update_operations": operations, "update_bytes": moved}
        for name, operations, moved in (("sgd", 1.0, 12.0), ("adam", 8.0, 28.0))
    ]
    # The second round was disturbed.
    timed = [
        {"model": "mlp", "optimizer": name, "step_microseconds": value * (1 + 9 * number)}
        for number in range(2)
        for name, value in (("sgd", 100.0), ("adam", 110.0))
    ]
    found = entry("costlier-steps", operations=pd.DataFrame(rows), step_cost=pd.DataFrame(timed))
    update, step = found["pieces"]
    assert [(shown["verdict"], shown["n"]) for shown in (update, step)] == [("supported", 1)] * 2
    assert (update["estimate"], step["estimate"]) == (pytest.approx(8), pytest.approx(140 / 133))
    assert update["low"] == update["high"] == update["estimate"]
    assert step["remarks"][-1] == {"code": "least time", "ratio": pytest.approx(1.1)}
    uncounted = pd.DataFrame(rows).assign(gradient_operations=np.nan)  # a loop's turns
    assert [piece["place"]["code"] for piece in entry("costlier-steps", operations=uncounted)["pieces"]] == ["update"]
    large = pd.DataFrame(rows).assign(gradient_operations=7000.0)
    assert entry("costlier-steps", operations=large)["verdict"] == "mixed"


def gaps(full: float, mini: float) -> pd.DataFrame:
    """Gaps of the full batch, of 768 examples, and of batches of 16, at two training losses; at the lower one both are alike."""
    values = {("mlp", 768, 0.1): full, ("mlp", 16, 0.1): mini, ("mlp", 768, 0.5): 0.02, ("mlp", 16, 0.5): 0.02}
    return by_seed(values, ["problem", "batch_size", "train_loss"], "gap")


def test_the_full_batch_overfits_more_where_its_gap_is_larger_at_the_same_training_loss() -> None:
    late, early = entry("overfits-less", matched_gaps=gaps(full=0.15, mini=0.1))["pieces"]
    assert (late["place"], early["place"]) == tuple(remark("at loss", problem="mlp", loss=loss) for loss in (0.1, 0.5))
    assert (late["verdict"], late["estimate"], late["n"]) == ("supported", pytest.approx(0.05), 6)
    assert (early["verdict"], early["estimate"]) == ("negligible", pytest.approx(0.0))
    assert verdicts("overfits-less", matched_gaps=gaps(full=0.1, mini=0.15)) == ["contradicted", "negligible"]


def test_a_gap_is_of_the_seeds_that_came_so_far_with_both_batches() -> None:
    table = gaps(full=0.15, mini=0.1)
    missed = (table["batch_size"] == 768) & (table["train_loss"] == 0.1)
    late, _ = entry("overfits-less", matched_gaps=table.assign(gap=table["gap"].mask(missed & (table["seed"] == 0))))[
        "pieces"
    ]
    assert (late["n"], late["remarks"]) == (5, [remark("both matched", n=5, of=6)])
    four = table.assign(gap=table["gap"].mask(missed & (table["seed"] < 2)))
    assert verdicts("overfits-less", matched_gaps=four) == ["inconclusive", "negligible"]  # the claim asks for five
    never = entry("overfits-less", matched_gaps=table.assign(gap=np.nan))
    assert (never["verdict"], never["reason"]) == ("not tested", {"code": "no matched loss"})


def test_escapes_are_of_the_starts_outside_and_what_is_lost_inside_is_said() -> None:
    """Momentum ends in the basin no more often than plain descent, as it leaves it as often as it enters it."""
    outside, inside = 200, 200
    ends = {"sgd": [0] * outside + [1] * inside, "momentum": [1] * 100 + [0] * 100 + [0] * 100 + [1] * 100}
    rows = [
        {"landscape": "well", "spurious": True, "optimizer": name, "start": start, "global_basin": bool(end)}
        for name, values in ends.items()
        for start, end in enumerate(values)
    ]
    table = pd.DataFrame(rows).assign(value=0.0, same_rate_basin=False)
    best, same = entry("escapes-minima", landscapes=table.assign(start_global=table["start"] >= outside))["pieces"]
    assert (best["verdict"], best["estimate"], best["n"]) == ("supported", pytest.approx(0.5), outside)
    assert (same["verdict"], same["estimate"]) == ("negligible", 0.0)
    assert best["remarks"] == [
        {"code": "escapes", "momentum": 0.5, "sgd": 0.0},
        {"code": "ejections", "n": inside, "momentum": 0.5, "sgd": 0.0},
    ]


def solutions(trained: float, matched: float) -> pd.DataFrame:
    """All pairs of ten solutions with about these barriers, as trained and with their hidden units matched."""
    pairs = [(a, b) for a in range(10) for b in range(a + 1, 10)]
    return pd.DataFrame(
        [
            {
                "problem": "mlp",
                "first_seed": a,
                "second_seed": b,
                "matching": matching,
                "relative_distance": 0.8,
                "barrier": barrier + 1e-4 * a,
            }
            for matching, barrier in (("as_trained", trained), ("matched", matched))
            for a, b in pairs
        ]
    )


@pytest.mark.parametrize(
    ("trained", "matched", "verdict"),
    [
        (0.175, 0.003, "contradicted"),  # as measured on digits: copies of one minimum
        (0.175, 0.1, "supported"),
        (0.175, 0.0197, "negligible"),  # neither above the least barrier that counts nor below
        (0.003, 0.003, "contradicted"),
    ],
)
def test_minima_are_several_only_if_a_barrier_stays_when_the_order_of_units_is_taken_away(
    trained: float, matched: float, verdict: str
) -> None:
    found = entry("several-minima", minima=solutions(trained, matched))
    (piece,) = found["pieces"]
    assert found["verdict"] == piece["verdict"] == verdict
    assert piece["n"] == 5  # pairs that share no seed: they begin at 0, 2, 4, 6 and 8, 4e-4 on average
    assert piece["estimate"] == pytest.approx(matched + 4e-4 - 0.02)
    assert piece["remarks"] == [
        {"code": "solutions", "distance": pytest.approx(0.8), "barrier": pytest.approx(matched + 4e-4)},
        {"code": "symmetry", "barrier": pytest.approx(trained + 4e-4), "explained": pytest.approx(trained - matched)},
    ]


def memory(at_once: float, accumulated: float, part: float = 20.0) -> pd.DataFrame:
    """Peak memory, MiB, of 2,048 examples at once and in 32 parts, and of one part; of one example it is 1."""
    peaks = {(1, 1): 1.0, (64, 1): part, (2048, 1): at_once, (2048, 32): accumulated}
    return pd.DataFrame(
        [
            {
                "batch_size": size,
                "accumulated": parts,
                "repeat": repeat,
                "peak_bytes": peak * (1 + repeat / 1000) * 2**20,
            }
            for (size, parts), peak in peaks.items()
            for repeat in range(3)
        ]
    )


@pytest.mark.parametrize(
    ("at_once", "accumulated", "expected"),
    [
        (640.0, 21.0, ["supported", "negligible"]),  # as measured: a part's memory, and the sums of the gradients
        (640.0, 640.0, ["supported", "supported"]),
        (
            222.0,
            82.0,
            ["supported", "supported"],
        ),  # 0.37 of what it takes at once is still four times what a part takes
        (640.0, 10.0, ["supported", "contradicted"]),
        (20.0, 20.0, ["negligible", "negligible"]),
    ],
)
def test_memory_of_all_examples_is_held_against_that_of_one_part(
    at_once: float, accumulated: float, expected: list[str]
) -> None:
    found = entry("all-in-memory", memory=memory(at_once, accumulated))
    assert [piece["verdict"] for piece in found["pieces"]] == expected
    assert [piece["estimate"] for piece in found["pieces"]] == pytest.approx([at_once / 20, accumulated / 20])
    assert [piece["place"] for piece in found["pieces"]] == [
        remark(code, problem="slides_cnn", size=2048, part=64) for code in ("batch", "accumulated batch")
    ]
    assert found["pieces"][0]["remarks"] == [
        {"code": "peak memory", "first": pytest.approx(at_once, rel=2e-3), "second": pytest.approx(20.0, rel=2e-3)}
    ]


def test_memory_that_the_system_does_not_tell_is_not_tested() -> None:
    found = entry("all-in-memory", memory=memory(640.0, 21.0).assign(peak_bytes=np.nan))
    assert (found["verdict"], found["reason"]) == ("not tested", {"code": "memory not measured"})


@pytest.mark.parametrize(("cosine", "verdict"), [(0.98, "supported"), (0.5, "contradicted"), (0.9, "negligible")])
def test_adam_is_adagrad_and_momentum_where_their_updates_go_the_same_way(cosine: float, verdict: str) -> None:
    values = {"adagrad": cosine, "rmsprop_corrected": 1.0, "rmsprop": 0.99, "momentum": 0.6}
    table = pd.DataFrame(
        [
            {"composition": name, "seed": seed, "cosine": value + SPREAD[seed]}
            for name, value in values.items()
            for seed in SEEDS
        ]
    )
    found = entry("adam-is", composition=table)
    (piece,) = found["pieces"]
    assert (found["verdict"], piece["n"], piece["estimate"]) == (verdict, 6, pytest.approx(cosine - 0.9, abs=1e-12))
    (remarks,) = piece["remarks"]
    assert remarks == {"code": "cosines", "adagrad": pytest.approx(cosine), "own": 1.0, "momentum": pytest.approx(0.6)}
    assert verdicts("adam-is", composition=table[table["seed"] < 4]) == ["inconclusive"]


def scaled(plain: float, adagrad: float, from_zero: float) -> pd.DataFrame:
    """How far the paths move when the loss is multiplied by a thousand."""
    names = {("sgd", 1e3): plain, ("adagrad", 1e3): adagrad, ("adagrad (accumulator 0)", 1e3): from_zero}
    return by_seed(names, ["optimizer", "scale"], "relative_distance")


def valleys(plain: float, along: float, across: float) -> pd.DataFrame:
    """Final values on the quadratics: AdaGrad's along the axes and across them, plain descent's the same on both."""
    values = {("sgd", "quadratic"): plain, ("sgd", "rotated_quadratic"): plain}
    values |= {("adagrad", "quadratic"): along, ("adagrad", "rotated_quadratic"): across}
    rows = [
        {"optimizer": name, "landscape": landscape, "start": start, "value": value * 10 ** SPREAD[start]}
        for (name, landscape), value in values.items()
        for start in SEEDS
    ]
    return pd.DataFrame(rows)


def imbalance(rare: float, frequent: float, both: float) -> pd.DataFrame:
    """Losses by class frequency at the start and at the end: AdaGrad's are 1, plain SGD's these more."""
    groups = {"rare": rare, "frequent": frequent, "all": both, "middle": 5.0}
    values = {("sgd", group, 300): 1 + more for group, more in groups.items()}
    values |= {("adagrad", group, 300): 1.0 for group in groups}
    values |= {(name, group, 0): 9.0 * (name == "sgd") for name, group in product(("sgd", "adagrad"), groups)}
    return by_seed(values, ["optimizer", "group", "updates"], "loss")


def test_adagrad_normalizes_where_its_path_moves_less_and_its_values_end_lower() -> None:
    tables = {
        "loss_scale": scaled(plain=0.9, adagrad=0.5, from_zero=0.0),
        "landscapes": valleys(plain=1e-2, along=1e-5, across=1e-2),
        "imbalance": imbalance(rare=1.0, frequent=0.0, both=-0.5),
    }
    found = entry("normalized-magnitude", **tables)
    expected = [
        (remark("scaled loss", scale=1e3), "supported", 0.4, "relative distance"),
        (remark("scaled loss, without constants", scale=1e3), "supported", 0.9, "relative distance"),
        (remark("valley along the axes"), "supported", 3.0, "decades of final value"),
        (remark("valley across the axes"), "negligible", 0.0, "decades of final value"),
        (remark("rare classes"), "supported", 1.0, "loss"),
        (remark("frequent classes"), "negligible", 0.0, "loss"),
        (remark("all classes"), "contradicted", -0.5, "loss"),
    ]
    shown = [(piece["place"], piece["verdict"], piece["estimate"], piece["unit"]) for piece in found["pieces"]]
    assert shown == [(*first, pytest.approx(value, abs=1e-3), unit) for *first, value, unit in expected]
    assert found["verdict"] == "mixed"
    assert verdicts("normalized-magnitude", loss_scale=tables["loss_scale"]) == ["supported"] * 2


def test_a_descent_that_diverged_counts_as_the_worst_value_and_one_at_the_minimum_as_zero() -> None:
    """Six decades above a value of 1, and twelve below: not infinite, and not left out."""
    along, across = entry("normalized-magnitude", landscapes=valleys(plain=np.inf, along=1.0, across=0.0))["pieces"]
    assert (along["n"], along["estimate"], along["verdict"]) == (6, pytest.approx(6, abs=1e-3), "supported")
    assert (across["n"], across["estimate"], across["verdict"]) == (6, pytest.approx(18, abs=1e-3), "supported")


def test_plain_descent_alone_says_nothing_of_adagrad() -> None:
    tables = {
        "loss_scale": scaled(0.9, 0.5, 0.0),
        "landscapes": valleys(1.0, 1.0, 1.0),
        "imbalance": imbalance(1, 1, 1),
    }
    plain = {name: table[table["optimizer"] == "sgd"] for name, table in tables.items()}
    found = entry("normalized-magnitude", **plain)
    assert (found["verdict"], found["reason"]) == ("not tested", {"code": "no adagrad measurement"})
