"""What claims are tested on in the experiment's own runs: one function an estimand (docs/protocol.md, "Claims").

Differences are positive where they are as the claim says.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.alarms import NOT_COUNTED
from descentlab.analysis.claims.evidence import ClaimEvidence, Found, missing
from descentlab.analysis.claims.verdicts import Claim, Piece
from descentlab.analysis.contrasts import ADVANCED
from descentlab.analysis.pairing import PairedRuns, wins_note
from descentlab.analysis.sensitivity import widths_by_seed
from descentlab.analysis.statistics.paired import Estimate, count_wins, estimate_difference
from descentlab.analysis.statistics.survival import BOUNDS
from descentlab.experiment.plan_parts import PlannedOptimizer
from descentlab.i18n.wording import words

PLAIN = ("sgd", "momentum")
OPTIMUM_TOLERANCE = 0.01
MOST_LINES = 15
SHARES = (0.1, 0.3, 1.0)


def bounded_piece(
    where: str, d: np.ndarray, at_least: np.ndarray, at_most: np.ndarray, margin: float, note: str, runs: list[str]
) -> Piece:
    """A piece from paired differences of which some are bounds.

    Where some are lower and others upper bounds, their mean says nothing; but which side won is known of every pair that
    was cut on one side alone, so the sign test judges. It does too where all differences are equal: runs are evaluated at
    few moments, so equal times are a matter of rounding, and their scatter of 0 would promise certainty.

    Args:
        d: differences, shape (n,).
        at_least, at_most: where the true difference may be larger, or smaller, than the one given, shape (n,).
    """
    bound = BOUNDS[bool(at_least.any()), bool(at_most.any())]
    rounded = len(d) > 1 and np.ptp(d) == 0 and d[0] != 0
    wins = count_wins(d, margin, at_least, at_most) if bound == "unknown" or rounded else None
    told = f"{note}; {wins_note(wins)}" if wins else note
    return Piece(where, estimate_difference(d), margin, bound, wins=wins, note=told, runs=runs)


def paired_piece(where: str, pair: PairedRuns, unit: str, runs: list[str], equivalence: bool = False) -> Piece:
    """A piece from runs paired by seed; the sign test judges where a divergence is one-sided."""
    return Piece(
        where,
        pair.estimate,
        pair.margin,
        wins=pair.wins if pair.one_sided else None,
        equivalence=equivalence,
        unit=unit,
        note=pair.note,
        runs=runs,
    )


def updates_to_target(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Logarithm of the ratio of updates to the medium target, plain SGD's over Adam's, paired by seed."""
    table = evidence.reached
    table = table[(table["target"] == "medium") & (table["arm"] == evidence.arm)]
    pieces = []
    for problem, group in table.groupby("problem", sort=False):
        adam, sgd = (group[group["optimizer"] == name].set_index("seed") for name in ("adam", "sgd"))
        seeds = adam.index.intersection(sgd.index)
        if len(seeds) == 0:
            continue
        a, b = adam.loc[seeds], sgd.loc[seeds]
        logs = np.log(b["updates"].clip(lower=1).to_numpy() / a["updates"].clip(lower=1).to_numpy())
        note = words(
            "Adam reached the target in {adam}, plain SGD in {sgd} runs",
            adam=int(a["reached"].sum()),
            sgd=int(b["reached"].sum()),
        )
        sgd_missed, adam_missed = (~side["reached"].to_numpy(dtype=bool) for side in (b, a))
        margin, runs = evidence.margin(claim, str(problem)), [*a["run_id"], *b["run_id"]]
        pieces.append(bounded_piece(str(problem), logs, sgd_missed, adam_missed, margin, note, runs))
    return pieces, missing("Adam", words("plain SGD"), words("the reference that sets the targets"))


def state_bytes(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Bytes of optimizer variables by trainable parameter, Adam's minus plain SGD's: counted, so without variance."""
    pieces = []
    for problem in evidence.plan.problems:
        adam, sgd = (evidence.finals(problem, name, evidence.arm) for name in ("adam", "sgd"))
        seeds = adam.index.intersection(sgd.index)
        difference = (
            adam.loc[seeds, "state_bytes_per_parameter"] - sgd.loc[seeds, "state_bytes_per_parameter"]
        ).dropna()  # a run that is missing counted nothing
        if len(difference):
            pieces.append(
                Piece(
                    problem,
                    estimate_difference(difference.to_numpy()),
                    float(claim.margin),
                    note=words("counted, the same for every seed"),
                )
            )
    if {"adam", "sgd"} <= set(evidence.plan.optimizers):
        return pieces, words(NOT_COUNTED)
    return pieces, missing("Adam", words("plain SGD"))


def width_pieces(evidence: ClaimEvidence, claim: Claim, wide: tuple[str, ...], narrow: tuple[str, ...]) -> Found:
    """Mean width of the optimizers ``wide`` minus that of ``narrow``, paired by seed.

    From the robustness sweep where all of them were swept, else from the tuning grid for all: the two have other seeds. A
    seed in which every rate diverged has the width 0, the worst possible.
    """
    runs = evidence.runs[evidence.runs["phase"].isin(("tuning", "sweep"))]
    runs = runs[(runs["arm"] == "tuned") & runs["optimizer"].isin((*wide, *narrow))]
    pieces = []
    for problem in evidence.plan.problems:
        mine = runs[runs["problem"] == problem]
        if not mine.groupby("optimizer")["phase"].agg(lambda phases: (phases == "sweep").any()).all():
            mine = mine[mine["phase"] == "tuning"]
        tables = {
            name: table for name in (*wide, *narrow) if len(table := widths_by_seed(evidence.plan, mine, problem, name))
        }
        sides = [[tables[name] for name in names if name in tables] for names in (wide, narrow)]
        if not all(sides):
            continue
        seeds = sorted(set.intersection(*(set(table.index) for table in tables.values())))
        widths = [
            np.mean([table.loc[seeds, "width"].to_numpy(dtype=np.float64) for table in side], axis=0) for side in sides
        ]
        cut = [
            np.any([table.loc[seeds, "width_censored"].to_numpy(dtype=bool) for table in side], axis=0)
            for side in sides
        ]
        notes = []
        if seeds:
            means = [side.mean() for side in widths]
            notes.append(words("mean widths {wide:.2g} and {narrow:.2g} decades", wide=means[0], narrow=means[1]))
        if np.any(cut):
            notes.append(words("some end lies outside the rates that were tried"))
        behind = mine[mine["seed"].isin(seeds) & mine["optimizer"].isin(list(tables))]["run_id"]
        pieces.append(
            bounded_piece(
                problem, widths[0] - widths[1], cut[0], cut[1], float(claim.margin), "; ".join(notes), list(behind)
            )
        )
    return pieces, words("no learning rate was tuned, or the experiment lacks the optimizers")


def adam_width(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Adam's width against plain SGD's."""
    return width_pieces(evidence, claim, ("adam",), ("sgd",))


def adaptive_width(evidence: ClaimEvidence, claim: Claim) -> Found:
    """The adaptive methods' mean width against that of plain SGD and momentum."""
    return width_pieces(evidence, claim, ADVANCED, PLAIN)


def runs_after(finals: pd.DataFrame, history: pd.DataFrame, share: float) -> pd.DataFrame:
    """Final runs as they stood after a share of the budget, ``test_metric`` standing for the validation metric then.

    A run that diverged until then has the worst possible result, whatever it had scored before.

    Args:
        finals: one optimizer's final runs on one problem, by seed.
        history: their evaluations.
    """
    limit = (
        share * finals["updates_planned"].max() * (1 + 1e-12)
    )  # a product rounded down would miss its own evaluation
    until = history[history["updates"] <= limit].sort_values("updates", kind="stable")
    value = until.drop_duplicates("seed", keep="last").set_index("seed")["val_metric"].reindex(finals.index)
    ran = finals["status"].isin(("finished", "diverged"))
    gone = ran & (finals["status"] == "diverged") & (finals["updates"] <= limit)
    gone |= ran & value.index.isin(until["seed"]) & ~np.isfinite(value)
    status = finals["status"].mask(ran, "finished").mask(ran & value.isna(), "missing").mask(gone, "diverged")
    return finals.assign(test_metric=value, status=status)


def default_anytime(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Validation metric at shares of the budget in the default arm, Adam minus plain SGD."""
    pieces = []
    history = evidence.history[evidence.history["arm"] == "default"]
    for problem, planned in evidence.plan.problems.items():
        finals = {name: evidence.finals(problem, name, "default") for name in ("adam", "sgd")}
        if any(table.empty for table in finals.values()):
            continue
        of_problem = history[history["problem"] == problem]
        for share in SHARES:
            sides = [
                runs_after(table, of_problem[of_problem["optimizer"] == name], share) for name, table in finals.items()
            ]
            where = words("{problem} at {share:.0%} of the budget", problem=problem, share=share)
            # Without scores by example: they are those of the end.
            pair = PairedRuns(sides[0], sides[1], {}, f"{problem}: adam and sgd", evidence.margin(claim, problem))
            pieces.append(paired_piece(where, pair, planned.metric, [*sides[0]["run_id"], *sides[1]["run_id"]]))
    return pieces, words("the experiment lacks the default arm, Adam or plain SGD")


def final_difference(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Final test goodness, plain SGD minus Adam, over seeds and test examples."""
    pieces = []
    for problem, planned in evidence.plan.problems.items():
        sgd, adam = (evidence.finals(problem, name, evidence.arm) for name in ("sgd", "adam"))
        if sgd.empty or adam.empty:
            continue
        pair = PairedRuns(sgd, adam, evidence.scores, f"{problem}: sgd and adam", evidence.margin(claim, problem))
        pieces.append(paired_piece(problem, pair, planned.metric, [*sgd["run_id"], *adam["run_id"]]))
    return pieces, missing("Adam", words("plain SGD"))


def optimum_reached(evidence: ClaimEvidence, claim: Claim) -> Found:
    """A tolerance minus plain SGD's final gap to the known optimum of each convex problem; a run that diverged missed it."""
    pieces = []
    for problem in evidence.plan.problems:
        sgd = evidence.finals(problem, "sgd", evidence.arm)
        known = sgd[sgd["status"].isin(("finished", "diverged")) & sgd["optimum"].notna()]
        if known.empty:
            continue
        gone = (known["status"] == "diverged").to_numpy()
        gap = (known["train_loss"] + known["penalty"] - known["optimum"]).to_numpy()
        below = OPTIMUM_TOLERANCE - gap
        notes, wins = [words("no run finished")], None
        if not gone.all():
            notes = [words("mean gap {gap:.2g}", gap=gap[~gone].mean())]
        if gone.any():
            wins = count_wins(np.where(gone, -np.inf, below), float(claim.margin))
            notes += [words("{n} of {of} runs diverged", n=int(gone.sum()), of=len(gone)), wins_note(wins)]
        pieces.append(
            Piece(
                problem,
                estimate_difference(below[~gone]),
                float(claim.margin),
                wins=wins,
                note="; ".join(notes),
                runs=list(known["run_id"]),
            )
        )
    return pieces, words("no problem of the experiment has a known optimum that plain SGD was run on")


def adam_composition(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Final test goodness, Adam minus RMSprop with momentum: the claim is that there is no difference."""
    twin = next(
        (
            name
            for name, planned in evidence.plan.optimizers.items()
            if planned.factory == "RMSprop" and any(h.get("momentum") for h in planned.hyperparameters.values())
        ),
        None,
    )
    if twin is None or "adam" not in evidence.plan.optimizers:
        return [], missing("Adam", words("RMSprop with a momentum (optimizer: rmsprop, momentum: 0.9)"))
    pieces = []
    for problem, planned in evidence.plan.problems.items():
        adam, other = (evidence.finals(problem, name, evidence.arm) for name in ("adam", twin))
        if len(adam) and len(other):
            where = f"{problem}: adam and {twin}"
            pair = PairedRuns(adam, other, evidence.scores, where, evidence.margin(claim, problem))
            runs = [*adam["run_id"], *other["run_id"]]
            pieces.append(paired_piece(problem, pair, planned.metric, runs, equivalence=True))
    return pieces, ""


def own_optimizer(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Fifteen minus the lines of each optimizer given by import path that finished a run here."""
    pieces = []
    for name, planned in evidence.plan.optimizers.items():
        runs = evidence.runs[(evidence.runs["optimizer"] == name) & (evidence.runs["status"] == "finished")]
        if isinstance(planned, PlannedOptimizer) and planned.source_lines and len(runs):
            count = Estimate(MOST_LINES + 1 - planned.source_lines, 0.0, 1.0, 0.0, 0.0, len(runs))
            note = words("{n} lines, counted", n=planned.source_lines)
            pieces.append(Piece(name, count, float(claim.margin), note=note))
    return pieces, words("the experiment has no optimizer of the reader's own")
