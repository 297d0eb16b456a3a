"""What claims are tested on in the experiment's own runs: one function an estimand (protocol, section 7).

Differences are positive where they are as the claim says.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.claim_evidence import ClaimEvidence, Found, missing
from descentlab.claims import Claim, Piece
from descentlab.contrasts import ADVANCED, PairedRuns
from descentlab.paired import Estimate, estimate_difference
from descentlab.robustness import widths_by_seed

PLAIN = ("sgd", "momentum")
OPTIMUM_TOLERANCE = 0.01
MOST_LINES = 15
SHARES = (0.1, 0.3, 1.0)


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
        cut = (not b["reached"].all(), not a["reached"].all())
        bound = {(False, False): "", (True, False): "at least", (False, True): "at most", (True, True): "unknown"}[cut]
        logs = np.log(b["updates"].clip(lower=1).to_numpy() / a["updates"].clip(lower=1).to_numpy())
        note = f"Adam reached the target in {int(a['reached'].sum())}, plain SGD in {int(b['reached'].sum())} runs"
        pieces.append(Piece(str(problem), estimate_difference(logs), evidence.margin(claim, str(problem)), bound, note=note,
                            runs=[*a["run_id"], *b["run_id"]]))  # fmt: skip
    return pieces, missing("Adam", "plain SGD", "the reference that sets the targets")


def state_bytes(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Bytes of optimizer variables by trainable parameter, Adam's minus plain SGD's: counted, so without variance."""
    pieces = []
    for problem in evidence.plan["problems"]:
        adam, sgd = (evidence.finals(problem, name, evidence.arm) for name in ("adam", "sgd"))
        seeds = adam.index.intersection(sgd.index)
        if len(seeds):
            difference = (
                adam.loc[seeds, "state_bytes_per_parameter"] - sgd.loc[seeds, "state_bytes_per_parameter"]
            ).to_numpy()
            pieces.append(Piece(problem, estimate_difference(difference), float(claim.margin),
                                note="counted, the same for every seed"))  # fmt: skip
    return pieces, missing("Adam", "plain SGD")


def width_pieces(evidence: ClaimEvidence, claim: Claim, wide: tuple[str, ...], narrow: tuple[str, ...]) -> Found:
    """Mean width of the optimizers ``wide`` minus that of ``narrow``, paired by seed."""
    pieces = []
    for problem in evidence.plan["problems"]:
        sides = []
        for names in (wide, narrow):
            tables = [widths_by_seed(evidence.plan, evidence.runs, problem, name) for name in names]
            present = [table for table in tables if len(table)]
            if not present:
                break
            seeds = present[0].index
            for table in present:
                seeds = seeds.intersection(table.index)
            width = np.mean([table.loc[seeds, "width"].astype(float) for table in present], axis=0)
            sides.append((pd.Series(width, index=seeds), any(table["width_censored"].any() for table in present)))
        if len(sides) < 2:
            continue
        (first, first_cut), (second, second_cut) = sides
        d = (first - second).dropna().to_numpy()
        bound = {(False, False): "", (True, False): "at least", (False, True): "at most", (True, True): "unknown"}[
            (first_cut, second_cut)
        ]
        note = f"mean widths {first.mean():.2g} and {second.mean():.2g} decades"
        note += "; some end lies outside the rates that were tried" if bound else ""
        pieces.append(Piece(problem, estimate_difference(d), float(claim.margin), bound, note=note))
    return pieces, "no learning rate was tuned, or the experiment lacks the optimizers"


def adam_width(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Adam's width against plain SGD's."""
    return width_pieces(evidence, claim, ("adam",), ("sgd",))


def adaptive_width(evidence: ClaimEvidence, claim: Claim) -> Found:
    """The adaptive methods' mean width against that of plain SGD and momentum."""
    return width_pieces(evidence, claim, ADVANCED, PLAIN)


def default_anytime(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Validation metric at shares of the budget in the default arm, Adam minus plain SGD."""
    pieces = []
    history = evidence.history[evidence.history["arm"] == "default"]
    for problem, about in evidence.plan["problems"].items():
        sign = 1 if about["higher_is_better"] else -1
        mine = history[history["problem"] == problem]
        runs = {name: evidence.finals(problem, name, "default") for name in ("adam", "sgd")}
        if any(table.empty for table in runs.values()):
            continue
        for share in SHARES:
            values = {}
            for name, finals in runs.items():
                budget = finals["updates_planned"].max()
                until = mine[(mine["optimizer"] == name) & (mine["updates"] <= share * budget)]
                values[name] = sign * until.sort_values("updates").groupby("seed")["val_metric"].last()
            difference = (values["adam"] - values["sgd"]).replace([np.inf, -np.inf], np.nan).dropna()
            pieces.append(Piece(f"{problem}, {share:.0%} of the budget", estimate_difference(difference.to_numpy()),
                                evidence.margin(claim, problem), unit=about["metric"],
                                runs=[*runs["adam"]["run_id"], *runs["sgd"]["run_id"]]))  # fmt: skip
    return pieces, "the experiment lacks the default arm, Adam or plain SGD"


def final_difference(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Final test goodness, plain SGD minus Adam, over seeds and test examples."""
    pieces = []
    for problem, about in evidence.plan["problems"].items():
        sgd, adam = (evidence.finals(problem, name, evidence.arm) for name in ("sgd", "adam"))
        if sgd.empty or adam.empty:
            continue
        pair = PairedRuns(sgd, adam, evidence.scores, f"{problem}: sgd and adam")
        pieces.append(Piece(problem, pair.estimate, evidence.margin(claim, problem), unit=about["metric"],
                            wins=pair.wins if pair.one_sided else None, runs=[*sgd["run_id"], *adam["run_id"]]))  # fmt: skip
    return pieces, missing("Adam", "plain SGD")


def optimum_reached(evidence: ClaimEvidence, claim: Claim) -> Found:
    """A tolerance minus plain SGD's final gap to the known optimum of each convex problem."""
    pieces = []
    for problem in evidence.plan["problems"]:
        sgd = evidence.finals(problem, "sgd", evidence.arm)
        known = sgd[(sgd["status"] == "finished") & sgd["optimum"].notna()]
        if len(known):
            gap = (known["train_loss"] + known["penalty"] - known["optimum"]).to_numpy()
            pieces.append(Piece(problem, estimate_difference(OPTIMUM_TOLERANCE - gap), float(claim.margin),
                                note=f"mean gap {gap.mean():.2g}", runs=list(known["run_id"])))  # fmt: skip
    return pieces, "no problem of the experiment has a known optimum that plain SGD was run on"


def adam_composition(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Final test goodness, Adam minus RMSprop with momentum: the claim is that there is no difference."""
    twin = next(
        (name for name, about in evidence.plan["optimizers"].items()
         if about["factory"] == "RMSprop" and any(h.get("momentum") for h in about["hyperparameters"].values())),
        None,
    )  # fmt: skip
    if twin is None or "adam" not in evidence.plan["optimizers"]:
        return [], missing("Adam", "RMSprop with a momentum (optimizer: rmsprop, momentum: 0.9)")
    pieces = []
    for problem, about in evidence.plan["problems"].items():
        adam, other = (evidence.finals(problem, name, evidence.arm) for name in ("adam", twin))
        if len(adam) and len(other):
            pair = PairedRuns(adam, other, evidence.scores, f"{problem}: adam and {twin}")
            pieces.append(Piece(problem, pair.estimate, evidence.margin(claim, problem), equivalence=True,
                                unit=about["metric"], wins=pair.wins if pair.one_sided else None,
                                runs=[*adam["run_id"], *other["run_id"]]))  # fmt: skip
    return pieces, ""


def own_optimizer(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Fifteen minus the lines of each optimizer given by import path that finished a run here."""
    pieces = []
    for name, about in evidence.plan["optimizers"].items():
        runs = evidence.runs[(evidence.runs["optimizer"] == name) & (evidence.runs["status"] == "finished")]
        if about.get("source_lines") and len(runs):
            count = Estimate(MOST_LINES + 1 - about["source_lines"], 0.0, 1.0, 0.0, 0.0, len(runs))
            pieces.append(Piece(name, count, float(claim.margin), note=f"{about['source_lines']} lines, counted"))
    return pieces, "the experiment has no optimizer of the reader's own"
