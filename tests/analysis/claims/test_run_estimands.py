"""Estimands of the experiment's own runs: a divergence is the worst result and never dropped, a bound speaks for its side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.claims import run_estimands
from descentlab.analysis.claims.evidence import ClaimEvidence
from descentlab.analysis.claims.judgment import Claim, Piece, judge_piece
from descentlab.analysis.claims.run_estimands import bounded_piece, on, runs_after
from descentlab.analysis.remarks import name_place
from descentlab.experiment.plan import TrainingPlan
from support.comparison_fixture import (
    SEEDS,
    generated_history,
    generated_plan,
    generated_runs,
    with_optimizer,
    with_problems,
)
from support.generated_comparisons import claim_evidence

CLAIM = Claim("a-claim", "", "", "", margin=0.02, least_n=5)


def pieces_of(name: str, evidence: ClaimEvidence, claim: Claim = CLAIM) -> dict[str, Piece]:
    pieces, _ = getattr(run_estimands, name)(evidence, claim)
    return {name_place(piece.place).removeprefix("problem: problem="): piece for piece in pieces}


def of(runs: pd.DataFrame, optimizer: str, arm: str, seeds: int = SEEDS, phase: str = "final") -> pd.Series:
    """Which rows are the first seeds' of an optimizer."""
    mine = (runs["optimizer"] == optimizer) & (runs["arm"] == arm) & (runs["phase"] == phase)
    return mine & (runs["seed"] % 1000 < seeds)


def test_a_run_counts_for_what_it_was_until_it_diverged() -> None:
    runs = generated_runs(0)
    gone = of(runs, "adam", "default", seeds=4)
    runs.loc[gone, "status"] = "diverged"
    runs.loc[gone, "updates"] = 4  # of 16: after the tenth, before the whole
    found = pieces_of("default_anytime", claim_evidence(runs))
    # Of 16 updates, 1 and 4 are the last evaluations within 10 and 30 %.
    early, late = found["share: problem=up, share=0.0625"], found["share: problem=up, share=0.25"]
    assert early.wins is None and early.estimate.n == SEEDS
    assert late.wins == (2, 6, 0)  # adam is ahead by 0.1 where it lives
    assert late.remarks == [
        {"code": "diverged", "name": "adam", "n": 4, "seeds": 6},
        {"code": "wins", "won": 2, "decided": 6},
    ]


def test_an_early_divergence_is_not_flattered_by_the_score_before_it() -> None:
    runs = generated_runs(0)
    gone = of(runs, "adam", "default")
    runs.loc[gone, "status"] = "diverged"
    runs.loc[gone, "updates"] = 1
    history = generated_history(runs)
    at_the_end = history["run_id"].isin(runs.loc[gone, "run_id"]) & (history["updates"] == 1)
    history.loc[at_the_end, "val_metric"] = np.nan  # what follows was never evaluated
    history = history[~(history["run_id"].isin(runs.loc[gone, "run_id"]) & (history["updates"] > 1))]
    for piece in pieces_of("default_anytime", claim_evidence(runs, history)).values():
        assert judge_piece(CLAIM, piece, 0.05).verdict == "contradicted"
        assert piece.wins == (0, SEEDS, 0)


def test_a_share_is_one_at_which_the_compared_optimizers_were_evaluated() -> None:
    """Full-batch descent is evaluated at 4 of 16 updates, the compared ones at 2 at the latest within 30 %."""
    runs = generated_runs(0)
    history = generated_history(runs)
    compared = history["run_id"].isin(runs.loc[runs["optimizer"].isin(["adam", "sgd"]), "run_id"])
    found = pieces_of("default_anytime", claim_evidence(runs, history[~(compared & (history["updates"] == 4))]))
    shares = [piece.place["share"] for piece in found.values() if piece.place["problem"] == "up"]
    assert shares == [1 / 16, 2 / 16, 1.0]


def test_a_metric_that_is_not_finite_is_a_divergence_and_a_run_without_history_is_missing() -> None:
    runs = generated_runs(0)
    finals = runs[of(runs, "adam", "default") & (runs["problem"] == "up")].set_index("seed")
    history = generated_history(finals.reset_index()).merge(finals.reset_index()[["run_id", "seed"]], on="run_id")
    history = history[history["seed"] != 0]
    history.loc[(history["seed"] == 1) & (history["updates"] == 16), "val_metric"] = np.inf
    finals.loc[2, "status"] = "failed"
    after = runs_after(finals, history.sample(frac=1, random_state=0), 1.0)
    assert after["status"].tolist() == ["missing", "diverged", "failed", "finished", "finished", "finished"]
    assert runs_after(finals, history, 0.5).loc[1, "status"] == "finished"


def test_where_both_sides_missed_the_target_the_pairs_that_are_decided_judge() -> None:
    runs = generated_runs(0)
    evidence = claim_evidence(runs)
    reached = evidence.reached
    medium = (reached["problem"] == "up") & (reached["target"] == "medium") & (reached["arm"] == "tuned")
    for optimizer, missed in (("adam", [0]), ("sgd", [0, 1, 2, 3, 4, 5])):
        cut = medium & (reached["optimizer"] == optimizer) & reached["seed"].isin(missed)
        reached.loc[cut, ["reached", "updates"]] = [False, 16.0]
    piece = pieces_of("updates_to_target", evidence)["up"]
    assert (piece.bound, piece.wins) == ("unknown", (5, 5, 0))
    assert piece.remarks == [{"code": "reached", "adam": 5, "sgd": 0}, {"code": "wins", "won": 5, "decided": 5}]
    assert judge_piece(CLAIM, piece, 0.05).verdict == "inconclusive"  # five wins of five have p = 0.0625
    assert judge_piece(CLAIM, piece, 0.07).verdict == "supported"


def test_a_run_that_diverged_missed_the_optimum() -> None:
    runs = generated_runs(0)
    sgd = of(runs, "sgd", "tuned")
    runs.loc[sgd, "train_loss"] = 0.1001  # the optimum is 0.1
    near = pieces_of("optimum_reached", claim_evidence(runs), Claim("c", "", "", "", margin=0.001, least_n=5))
    assert near["up"].wins is None and near["up"].estimate.mean == pytest.approx(0.01 - 0.0001)
    runs.loc[of(runs, "sgd", "tuned", seeds=5), "status"] = "diverged"
    lost = pieces_of("optimum_reached", claim_evidence(runs), Claim("c", "", "", "", margin=0.001, least_n=5))["up"]
    assert (lost.wins, lost.estimate.n) == ((1, 6, 0), 1)
    assert lost.remarks[-2:] == [
        {"code": "runs diverged", "n": 5, "of": 6},
        {"code": "wins", "won": 1, "decided": 6},
    ]


OPTIMUM = Claim("c", "", "", "", margin=0.001, least_n=5)


def of_runs(runs: pd.DataFrame, plan: TrainingPlan | None = None) -> ClaimEvidence:
    """The evidence of runs alone, without their histories."""
    return ClaimEvidence(plan or generated_plan(), runs, runs, {}, runs)


def best_known(runs: pd.DataFrame) -> Piece:
    """Of the problem "up", had it no known optimum."""
    plan = with_problems(generated_plan(), convex=False)
    return pieces_of("optimum_reached", of_runs(runs.assign(optimum=np.nan), plan), OPTIMUM)["best known: problem=up"]


def judged(piece: Piece) -> str:
    return str(judge_piece(OPTIMUM, piece, 0.05).verdict)


@pytest.mark.parametrize(
    ("adam", "gap", "verdict"), [(0.2, 0.1, "supported"), (0.295, 0.005, "inconclusive"), (0.4, 0.0, "inconclusive")]
)
def test_elsewhere_the_gap_to_the_best_known_is_no_more_than_a_bound(adam: float, gap: float, verdict: str) -> None:
    """All others end at 0.3. Where plain SGD ends at the best known, a better one may not have been found."""
    runs = generated_runs(0)
    runs.loc[of(runs, "adam", "default"), "train_loss"] = adam + 1e-4 * runs["seed"]  # of any arm
    piece = best_known(runs)
    assert piece.estimate.mean == pytest.approx(gap - 0.01, abs=3e-4)
    assert (piece.bound, piece.estimate.n, judged(piece)) == ("at least", SEEDS, verdict)
    assert set(piece.runs) == set(runs.loc[of(runs, "sgd", "tuned") & (runs["problem"] == "up"), "run_id"])


def test_the_best_known_counts_the_penalty_and_the_same_seed_alone() -> None:
    runs = generated_runs(0)
    runs["train_loss"] += 0.1 * runs["seed"]  # seeds have data of their own
    runs.loc[of(runs, "adam", "tuned"), ["train_loss", "penalty"]] += [-0.2, 0.15]
    assert best_known(runs).estimate.mean == pytest.approx(0.05 - 0.01)
    tuning = runs["phase"] == "tuning"
    runs.loc[tuning, "train_loss"] = 0.0
    assert best_known(runs).estimate.mean == pytest.approx(0.05 - 0.01)


def test_elsewhere_a_run_that_diverged_missed_the_best_known() -> None:
    runs = generated_runs(0)
    runs.loc[of(runs, "adam", "tuned"), "train_loss"] = 0.2
    runs.loc[of(runs, "sgd", "tuned", seeds=2), ["status", "train_loss"]] = ["diverged", np.nan]
    piece = best_known(runs)
    assert (piece.wins, piece.estimate.n, judged(piece)) == ((6, 6, 0), 4, "supported")
    assert piece.remarks[1:] == [{"code": "runs diverged", "n": 2, "of": 6}, {"code": "wins", "won": 6, "decided": 6}]
    runs.loc[of(runs, "adam", "tuned"), "train_loss"] = 0.4  # what SGD's other runs missed is not known
    assert (best_known(runs).wins, judged(best_known(runs))) == ((2, 2, 0), "inconclusive")


def test_a_problem_whose_optimum_is_known_or_whose_convexity_is_not_has_no_best_known() -> None:
    runs = generated_runs(0)
    unknown = runs.assign(optimum=np.nan)
    for changed, convex in ((runs, False), (unknown, None), (unknown, True)):
        plan = with_problems(generated_plan(), convex=convex)
        assert run_estimands.best_known_pieces(of_runs(changed, plan), OPTIMUM) == []
    without = of_runs(runs[runs["optimizer"] != "sgd"])
    assert run_estimands.optimum_reached(without, OPTIMUM) == ([], {"code": "no optimum"})


@pytest.mark.parametrize(
    ("lines", "verdicts"), [(14, ["supported"]), (15, ["supported"]), (17, ["contradicted"]), (None, [])]
)
def test_an_own_optimizer_of_at_most_fifteen_lines_is_easy_to_write(lines: int | None, verdicts: list[str]) -> None:
    plan, runs = with_optimizer(generated_plan(), "rmsprop", source_lines=lines), generated_runs(0)
    pieces, reason = run_estimands.own_optimizer(of_runs(runs, plan), Claim("c", "", "", ""))
    assert [str(judge_piece(CLAIM, piece, 0.05).verdict) for piece in pieces] == verdicts
    assert reason == {"code": "no own optimizer"}
    assert run_estimands.own_optimizer(of_runs(runs.assign(status="failed"), plan), CLAIM)[0] == []


def test_a_missing_run_takes_no_other_run_with_it() -> None:
    runs = generated_runs(0)
    runs["state_bytes_per_parameter"] = np.where(runs["optimizer"] == "adam", 8.0, 0.0)
    gone = of(runs, "adam", "tuned", seeds=1)
    runs.loc[gone, ["status", "state_bytes_per_parameter"]] = ["missing", np.nan]
    piece = pieces_of("state_bytes", claim_evidence(runs))["up"]
    assert (piece.estimate.mean, piece.estimate.n) == (8.0, SEEDS - 1)


@pytest.mark.parametrize(("ratio", "wins"), [(1.5, (7, 7, 0)), (1.0, (0, 0, 7)), (1 / 3, (0, 7, 0))])
def test_equal_times_are_judged_by_wins(ratio: float, wins: tuple[int, int, int]) -> None:
    """Which they are but for the last digits: 12 / 8 and 33 / 22 have logarithms that differ."""
    times, never = np.array([7.0, 8, 9.3, 11, 22, 35.7, 1001]), np.zeros(7, bool)
    piece = bounded_piece(on("up"), np.log(ratio * times / times), never, never, 0.1, [], [])
    assert piece.wins == wins
    assert np.isnan(piece.interval(0.05)).all()
