"""Evidence for claims from the experiment's own runs: one function per estimand (docs/protocol.md, "Claims").

A positive difference agrees with the claim.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from descentlab.analysis.claims.evidence import ClaimEvidence, Pieces, missing
from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.fit import compare_fit, log_objective
from descentlab.analysis.pairing import PairedRuns, wins_remark
from descentlab.analysis.remarks import Remark, remark
from descentlab.analysis.statistics.intervals import LEVEL
from descentlab.analysis.statistics.pair_test import count_wins
from descentlab.analysis.statistics.paired import Estimate, equal_but_for_rounding, estimate_difference
from descentlab.analysis.statistics.stages import Stage
from descentlab.analysis.statistics.survival import BOUNDS
from descentlab.experiment.plan_parts import PlannedOptimizer
from descentlab.experiment.records import optimum_gap
from descentlab.optimizers.arms import SPEED_ARM, Arm
from descentlab.optimizers.roles import ADAM, PLAIN

OPTIMUM_TOLERANCE = 0.01
MOST_LINES = 15
SHARES = (0.1, 0.3, 1.0)


def on(problem: str) -> Remark:
    """The place of evidence that comes from a whole problem."""
    return remark("problem", problem=problem)


def bounded_piece(
    place: Remark,
    d: np.ndarray,
    at_least: np.ndarray,
    at_most: np.ndarray,
    margin: float,
    remarks: list[Remark],
    runs: list[str],
) -> Piece:
    """A piece of evidence from paired differences, some of which are bounds.

    If some are lower and others upper bounds, their mean says nothing. But the winner of every pair that was cut on only
    one side is known, so the sign test judges. It also judges if all differences are equal but for the last digits: runs are
    evaluated at few points, so equal times are due to rounding, and their standard deviation of 0 would promise certainty.

    Args:
        place: what the piece was measured on.
        d: differences, shape (n,).
        at_least, at_most: where the true difference may be larger, or smaller, than the observed one, shape (n,).
        margin: smaller differences are negligible.
        remarks: what a reader must know about it.
        runs: ids of the runs behind it.
    """
    bound = BOUNDS[bool(at_least.any()), bool(at_most.any())]
    rounded = len(d) > 1 and equal_but_for_rounding(d, magnitude=1)
    wins = count_wins(d, margin, at_least, at_most) if bound == "unknown" or rounded else None
    by_wins = [wins_remark(wins)] if wins else []
    return Piece(place, estimate_difference(d), margin, bound, wins=wins, remarks=[*remarks, *by_wins], runs=runs)


def paired_piece(place: Remark, pair: PairedRuns, unit: str, runs: list[str]) -> Piece:
    """A piece of evidence from runs paired by seed; the sign test judges where a divergence is one-sided."""
    return Piece(
        place,
        pair.test.estimate,
        pair.test.margin,
        wins=pair.test.wins if pair.test.by_wins else None,
        unit=unit,
        remarks=pair.remarks,
        runs=runs,
    )


def updates_to_target(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Logarithm of the ratio of updates to the medium target, plain SGD's over Adam's, paired by seed.

    At the rates that end best, and where rates were tuned at those that reach the target soonest.
    """
    table = evidence.reached
    table = table[(table["target"] == "medium") & table["arm"].isin([evidence.arm, SPEED_ARM])]
    pieces = []
    for (problem, arm), group in table.groupby(["problem", "arm"], sort=False):
        # The runs of a pair share their initial weights: both may be at the target before any update, and have no ratio.
        timed = group[group["updates"] > 0]
        adam, sgd = (timed[timed["optimizer"] == name].set_index("seed") for name in (ADAM, PLAIN))
        seeds = adam.index.intersection(sgd.index)
        if len(seeds) == 0:
            continue
        a, b = adam.loc[seeds], sgd.loc[seeds]
        logs = np.log(b["updates"].to_numpy() / a["updates"].to_numpy())
        reached = remark("reached", adam=int(a["reached"].sum()), sgd=int(b["reached"].sum()))
        sgd_missed, adam_missed = (~side["reached"].to_numpy(dtype=bool) for side in (b, a))
        margin, runs = evidence.margin(claim, str(problem)), [*a["run_id"], *b["run_id"]]
        place = remark("fastest rates", problem=problem) if arm == SPEED_ARM else on(str(problem))
        pieces.append(bounded_piece(place, logs, sgd_missed, adam_missed, margin, [reached], runs))
    return pieces, missing(ADAM, PLAIN, "targets")


def state_bytes(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Bytes of optimizer variables per trainable parameter, Adam's minus plain SGD's: counted, so without variance."""
    pieces = []
    for problem in evidence.plan.problems:
        adam, sgd = (evidence.finals(problem, name, evidence.arm) for name in (ADAM, PLAIN))
        seeds = adam.index.intersection(sgd.index)
        difference = (
            adam.loc[seeds, "state_bytes_per_parameter"] - sgd.loc[seeds, "state_bytes_per_parameter"]
        ).dropna()  # a missing run has no count
        if len(difference):
            pieces.append(
                Piece(
                    on(problem),
                    estimate_difference(difference.to_numpy()),
                    float(claim.margin),
                    remarks=[remark("counted")],
                )
            )
    if {ADAM, PLAIN} <= set(evidence.plan.optimizers):
        return pieces, remark("bytes not counted")
    return pieces, missing(ADAM, PLAIN)


def runs_after(finals: pd.DataFrame, history: pd.DataFrame, share: float) -> pd.DataFrame:
    """Final runs as they stood after a share of the budget, with the validation metric at that point as ``test_metric``.

    A run that had diverged by then has the worst possible result, whatever it scored before.

    Args:
        finals: one optimizer's final runs on one problem, by seed.
        history: their evaluations.
        share: of the budget.
    """
    limit = updates_by(finals, share)
    until = history[history["updates"] <= limit].sort_values("updates", kind="stable")
    value = until.drop_duplicates("seed", keep="last").set_index("seed")["val_metric"].reindex(finals.index)
    ran = finals["status"].isin(("finished", "diverged"))
    diverged = ran & (finals["status"] == "diverged") & (finals["updates"] <= limit)
    diverged |= ran & value.index.isin(until["seed"]) & ~np.isfinite(value)
    status = finals["status"].mask(ran, "finished").mask(ran & value.isna(), "missing").mask(diverged, "diverged")
    return finals.assign(test_metric=value, status=status)


def updates_by(finals: pd.DataFrame, share: float) -> float:
    """The updates of a share of the budget; the factor is for a product rounded down, which would miss its own evaluation."""
    return float(share * finals["updates_planned"].max() * (1 + 1e-12))


def share_read(finals: pd.DataFrame, history: pd.DataFrame, share: float) -> float:
    """The share of the budget of the last evaluation within ``share``, which a reader is told: runs are evaluated at few points.

    Example:
        >>> finals, history = pd.DataFrame({"updates_planned": [120]}), pd.DataFrame({"updates": [0, 8, 10, 20, 120]})
        >>> share_read(finals, history, 0.1)
        0.0833
    """
    read = history.loc[history["updates"] <= updates_by(finals, share), "updates"].max()
    return float(read / finals["updates_planned"].max())


def default_anytime(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Validation metric after about the shares of the budget in the default arm, Adam minus plain SGD."""
    pieces = []
    history = evidence.history[evidence.history["arm"] == Arm.DEFAULT]
    for problem, planned in evidence.plan.problems.items():
        finals = {name: evidence.finals(problem, name, Arm.DEFAULT) for name in (ADAM, PLAIN)}
        if any(table.empty for table in finals.values()):
            continue
        # Others' evaluations stand at other shares: full-batch descent has fewer updates.
        problem_history = history[(history["problem"] == problem) & history["optimizer"].isin(finals)]
        reads = (share_read(finals[ADAM], problem_history, share) for share in SHARES)
        for share in dict.fromkeys(reads):  # a short run's first shares may end at the same evaluation
            sides = [
                runs_after(table, problem_history[problem_history["optimizer"] == name], share)
                for name, table in finals.items()
            ]
            place = remark("share", problem=problem, share=share)
            # Without scores by example, which exist only for the end of a run.
            pair = PairedRuns(sides[0], sides[1], {}, f"{problem}: adam and sgd", evidence.margin(claim, problem))
            pieces.append(paired_piece(place, pair, planned.metric, [*sides[0]["run_id"], *sides[1]["run_id"]]))
    return pieces, missing("default arm", ADAM, PLAIN)


def final_difference(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Final test goodness, plain SGD minus Adam, over seeds and test examples; beside it, by how much Adam fits better.

    It is a primary contrast, so the seeds that looks added to it count.
    """
    pieces, arm = [], evidence.arm
    for problem, planned in evidence.plan.problems.items():
        seeds = evidence.seeds(problem, arm, ADAM, PLAIN)
        sgd, adam = (evidence.finals(problem, name, arm, seeds) for name in (PLAIN, ADAM))
        if sgd.empty or adam.empty:
            continue
        where, noise = f"{problem}: sgd and adam", evidence.tuning.noise.of(problem, arm, PLAIN, ADAM)
        pair = PairedRuns(sgd, adam, evidence.scores, where, evidence.margin(claim, problem), noise)
        piece = paired_piece(on(problem), pair, planned.metric, [*sgd["run_id"], *adam["run_id"]])
        stage = Stage.at(evidence.plan.config.seeds_of(problem).looks, seeds)
        noise = evidence.tuning.fit_noise.of(problem, arm, ADAM, PLAIN)
        fit = compare_fit(log_objective(adam), log_objective(sgd), noise)
        low, high = fit.interval(LEVEL * stage.share)
        fits = [] if np.isnan(low) else [remark("fits", decades=fit.estimate.mean, low=low, high=high)]
        pieces.append(replace(piece, remarks=[*piece.remarks, *fits], stage=stage))
    return pieces, missing(ADAM, PLAIN)


def optimum_reached(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """A tolerance minus plain SGD's final gap to the known optimum of each convex problem; a diverged run missed it.

    The slide says "only": on other problems the gap to the lowest objective that any final run of the same seed reached, minus
    the tolerance, so that there, too, a positive difference agrees. The true gap can only be larger.
    """
    pieces = best_known_pieces(evidence, claim)
    for problem in evidence.plan.problems:
        sgd = evidence.finals(problem, PLAIN, evidence.arm)
        sgd = sgd[sgd["status"].isin(("finished", "diverged")) & sgd["optimum"].notna()]
        if len(sgd):
            pieces.append(gap_piece(on(problem), claim, sgd, optimum_gap(sgd)))
    return pieces, remark("no optimum")


def best_known_pieces(evidence: ClaimEvidence, claim: Claim) -> list[Piece]:
    """Plain SGD's gap to the best known objective of each problem without a known optimum, minus the tolerance.

    The best known is no lower than the least possible, so the true gap is at least this one: a gap of 0 settles nothing.
    """
    runs = evidence.runs
    finals = runs[(runs["phase"] == "final") & runs["status"].isin(("finished", "diverged")) & runs["optimum"].isna()]
    pieces = []
    for problem, planned in evidence.plan.problems.items():
        ours = finals[finals["problem"] == problem]
        sgd = ours[(ours["optimizer"] == PLAIN) & (ours["arm"] == evidence.arm)].set_index("seed")
        if sgd.empty or planned.convex is not False:  # unknown of runs that were logged elsewhere
            continue
        finished = ours[ours["status"] == "finished"]
        best = (finished["train_loss"] + finished["penalty"]).groupby(finished["seed"]).min()
        gap = sgd["train_loss"] + sgd["penalty"] - best.reindex(sgd.index)
        pieces.append(gap_piece(remark("best known", problem=problem), claim, sgd, gap, at_least=True))
    return pieces


def gap_piece(place: Remark, claim: Claim, sgd: pd.DataFrame, gap: pd.Series, at_least: bool = False) -> Piece:
    """A piece of evidence from the gaps of plain SGD's runs to an objective; a diverged run's is infinite.

    Args:
        place: what the piece was measured on.
        claim: the claim.
        sgd: the runs, finished or diverged.
        gap: of each of them.
        at_least: whether the true gap may be larger. The claim then says that it is larger than the tolerance; else smaller.
    """
    diverged = (sgd["status"] == "diverged").to_numpy()
    excess = np.where(diverged, np.inf, gap - OPTIMUM_TOLERANCE)
    difference, margin = excess if at_least else -excess, float(claim.margin)
    remarks, wins = [remark("none finished")], None
    if not diverged.all():
        remarks = [remark("mean gap", gap=gap[~diverged].mean())]
    if diverged.any():
        wins = count_wins(difference, margin, at_least)
        remarks += [remark("runs diverged", n=int(diverged.sum()), of=len(diverged)), wins_remark(wins)]
    estimate, bound = estimate_difference(difference[~diverged]), BOUNDS[at_least, False]
    return Piece(place, estimate, margin, bound, wins=wins, remarks=remarks, runs=list(sgd["run_id"]))


def own_optimizer(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Fifteen minus the lines of each optimizer given by import path that finished a run here."""
    pieces = []
    for name, planned in evidence.plan.optimizers.items():
        runs = evidence.runs[(evidence.runs["optimizer"] == name) & (evidence.runs["status"] == "finished")]
        if isinstance(planned, PlannedOptimizer) and planned.source_lines and len(runs):
            count = Estimate(MOST_LINES + 1 - planned.source_lines, 0.0, 1.0, 0.0, 0.0, len(runs))
            lines = remark("lines counted", n=planned.source_lines)
            place = remark("optimizer", optimizer=name)
            pieces.append(Piece(place, count, float(claim.margin), remarks=[lines]))
    return pieces, remark("no own optimizer")
