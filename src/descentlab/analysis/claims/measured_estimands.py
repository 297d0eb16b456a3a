"""Evidence for claims from dedicated measurements: step cost and mechanism problems (docs/protocol.md, "Claims").

A positive difference agrees with the claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.claims.evidence import ClaimEvidence, Pieces, missing
from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.remarks import Remark, remark
from descentlab.analysis.statistics.paired import Estimate, estimate_difference
from descentlab.optimizers.roles import ADAGRAD, ADAGRAD_FROM_ZERO, ADAM, MOMENTUM, PLAIN

LEAST_BARRIER = 0.02  # of the loss: where it rises by less between two solutions, they lie in one valley
ESCAPES = {"best rates": "global_basin", "same rate": "same_rate_basin"}  # codes of places, and what ended there
SAME_DIRECTION = 0.9  # cosine of two updates
GROUPS = {"rare": "rare classes", "frequent": "frequent classes", "all": "all classes"}  # likewise, of classes
LEAST_VALUE, MOST_VALUE = 1e-12, 1e6  # final values beyond these count as zero, or as divergence
ADAGRADS = {ADAGRAD: "", ADAGRAD_FROM_ZERO: ", without constants"}  # what the codes of their places end with
# AdaGrad divides coordinate by coordinate: it helps most along the axes; across them is the contrast.
VALLEYS = {"quadratic": "valley along the axes", "rotated_quadratic": "valley across the axes"}


def operations(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Logarithm of the ratio of Adam's operations to plain SGD's, of the update alone and of a whole step: counted."""
    table = evidence.measured.get("operations", pd.DataFrame())
    if table.empty:
        return [], remark("operations not counted")
    pieces = []
    for model, group in table.groupby("model", sort=False):
        counts = group.set_index("optimizer")
        if not {ADAM, PLAIN} <= set(counts.index):
            continue
        adam, plain = counts.loc[ADAM], counts.loc[PLAIN]
        for code, shared in (("update", 0.0), ("whole step", plain["gradient_operations"])):
            sides = [row["update_operations"] + shared for row in (adam, plain)]
            if np.isnan(sides).any():  # what is uncounted is unknown
                continue
            counted = remark("operations", adam=sides[0], sgd=sides[1])
            moved = remark("bytes moved", adam=adam["update_bytes"], sgd=plain["update_bytes"])
            ratio = Estimate(float(np.log(sides[0] / sides[1])), 0.0, 1.0, 0.0, 0.0, 1)
            place = remark(code, model=model, n=adam["parameters"])
            timed = least_seconds(evidence, str(model)) if code == "whole step" else [moved]
            pieces.append(Piece(place, ratio, float(claim.margin), remarks=[counted, *timed]))
    return pieces, missing(ADAM, PLAIN)


def least_seconds(evidence: ClaimEvidence, model: str) -> list[Remark]:
    """The least time of Adam's step over rounds, over plain SGD's: what a clock says, with least disturbance."""
    table = evidence.measured.get("step_cost", pd.DataFrame())
    if table.empty:
        return []
    least = table[table["model"] == model].groupby("optimizer")["step_microseconds"].min()
    return [remark("least time", ratio=least[ADAM] / least[PLAIN])] if {ADAM, PLAIN} <= set(least.index) else []


def gaps_at_matched_losses(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Test − training loss at the same training losses, full batch minus mini-batches of 16, paired by seed."""
    table = evidence.measured.get("matched_gaps", pd.DataFrame())
    if table.empty:
        return [], remark("batch sizes not compared")
    pieces = []
    for (problem, loss), group in table.groupby(["problem", "train_loss"], sort=False):
        gaps = group.pivot(index="seed", columns="batch_size", values="gap")
        d = (gaps[max(gaps)] - gaps[min(gaps)]).dropna().to_numpy()
        if len(d):
            remarks = [remark("both matched", n=len(d), of=len(gaps))]
            place = remark("at loss", problem=problem, loss=loss)
            pieces.append(Piece(place, estimate_difference(d), float(claim.margin), remarks=remarks))
    return pieces, remark("no matched loss")


def escapes(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Share of the starts outside the global basin that end in it, momentum minus plain descent, paired by start.

    With each one's best rate, and with plain descent's for both. How many starts each carries out of the basin stands beside:
    speed that escapes a bad minimum can leave a good one too.
    """
    table = evidence.measured.get("landscapes", pd.DataFrame())
    if table.empty:
        return [], remark("no landscape")
    pieces = []
    for landscape, group in table[table["spurious"]].groupby("landscape", sort=False):
        began = group.drop_duplicates("start").set_index("start")["start_global"]
        for code, column in ESCAPES.items():
            ends = group.pivot(index="start", columns="optimizer", values=column)
            if not {MOMENTUM, PLAIN} <= set(ends):
                continue
            outside, inside = ends[~began.reindex(ends.index)], ends[began.reindex(ends.index)]
            d = outside[MOMENTUM].astype(float) - outside[PLAIN].astype(float)
            remarks = [remark("escapes", **{name: outside[name].mean() for name in (MOMENTUM, PLAIN)})]
            if len(inside):
                lost = {name: 1 - inside[name].mean() for name in (MOMENTUM, PLAIN)}
                remarks.append(remark("ejections", n=len(inside), **lost))
            place = remark(code, landscape=str(landscape))
            pieces.append(Piece(place, estimate_difference(d.to_numpy()), float(claim.margin), remarks=remarks))
    return pieces, missing(MOMENTUM, PLAIN)


def barrier_between_minima(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Barrier on the line between two networks trained from different seeds, minus the least that counts, up to symmetry.

    The second's hidden units are put in the order closest to the first's, which changes nothing that it computes: a barrier
    that vanishes separates two copies of one minimum. How much of the barrier does stands beside. Over disjoint pairs of seeds.
    """
    table = evidence.measured.get("minima", pd.DataFrame())
    if table.empty:
        return [], remark("no minima")
    disjoint = (table["first_seed"] % 2 == 0) & (table["second_seed"] == table["first_seed"] + 1)
    pairs = table[disjoint & (table["problem"] == "mlp")]
    means = pairs.groupby("matching")[["relative_distance", "barrier"]].mean()
    matched, trained = means.loc["matched"], means.loc["as_trained"]
    remarks = [
        remark("solutions", distance=matched["relative_distance"], barrier=matched["barrier"]),
        remark("symmetry", barrier=trained["barrier"], explained=trained["barrier"] - matched["barrier"]),
    ]
    d = pairs.loc[pairs["matching"] == "matched", "barrier"].to_numpy() - LEAST_BARRIER
    place = remark("matched units", problem="mlp")
    return [Piece(place, estimate_difference(d), float(claim.margin), remarks=remarks)], None


def batch_memory(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Logarithm of the ratio of an update's peak memory to that of an update on one part: all examples at once, and part by part.

    Part by part it is the same update: if that needs no more memory than one part does, descent doesn't need all examples in
    memory.
    """
    table = evidence.measured.get("memory", pd.DataFrame())
    if table.empty or table["peak_bytes"].isna().all():
        return [], remark("memory not measured")
    largest, parts = int(table["batch_size"].max()), int(table["accumulated"].max())
    part = largest // parts
    peaks = table.pivot(index="repeat", columns=["batch_size", "accumulated"], values="peak_bytes")
    pieces = []
    for code, accumulated in (("batch", 1), ("accumulated batch", parts)):
        of_all, of_part = peaks[largest, accumulated], peaks[part, 1]
        d = np.log(of_all / of_part).dropna().to_numpy()
        remarks = [remark("peak memory", first=of_all.mean() / 2**20, second=of_part.mean() / 2**20)]
        place = remark(code, problem="slides_cnn", size=largest, part=part)
        pieces.append(Piece(place, estimate_difference(d), float(claim.margin), remarks=remarks))
    return pieces, None


def composition(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Cosine of Adam's update with that of AdaGrad's sum of squares and an average of gradients, minus a cosine that is high."""
    table = evidence.measured.get("composition", pd.DataFrame())
    if table.empty:
        return [], remark("composition not measured")
    means = table.groupby("composition")["cosine"].mean()
    d = table[table["composition"] == "adagrad"]["cosine"].to_numpy() - SAME_DIRECTION
    remarks = [remark("cosines", adagrad=means["adagrad"], own=means["rmsprop_corrected"], momentum=means["momentum"])]
    place = remark("problem", problem="mlp")
    return [Piece(place, estimate_difference(d), float(claim.margin), remarks=remarks)], None


def normalized_magnitude(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """AdaGrad against plain descent: a loss scaled down and up, an ill-conditioned quadratic, rare and frequent classes."""
    pieces = []
    margin = float(claim.margin)
    scaled = evidence.measured.get("loss_scale", pd.DataFrame())
    if not scaled.empty:
        for scale, group in scaled.groupby("scale"):
            far = group.pivot(index="seed", columns="optimizer", values="relative_distance")
            for name, constants in ADAGRADS.items():
                if {name, PLAIN} <= set(far):
                    d = (far[PLAIN] - far[name]).to_numpy()
                    place = remark(f"scaled loss{constants}", scale=scale)
                    pieces.append(Piece(place, estimate_difference(d), margin, unit="relative distance"))
    valley = evidence.measured.get("landscapes", pd.DataFrame())
    for landscape, code in VALLEYS.items():
        ends = (
            valley
            if valley.empty
            else valley[valley["landscape"] == landscape].pivot(index="start", columns="optimizer", values="value")
        )
        if {ADAGRAD, PLAIN} <= set(ends):
            values = ends.clip(lower=LEAST_VALUE, upper=MOST_VALUE)
            d = np.log10(values[PLAIN] / values[ADAGRAD]).dropna().to_numpy()
            pieces.append(Piece(remark(code), estimate_difference(d), margin, unit="decades of final value"))
    rare = evidence.measured.get("imbalance", pd.DataFrame())
    if not rare.empty:
        last = rare[rare["updates"] == rare["updates"].max()]
        for group_name, code in GROUPS.items():
            ends = last[last["group"] == group_name].pivot(index="seed", columns="optimizer", values="loss")
            for name, constants in ADAGRADS.items():
                if {name, PLAIN} <= set(ends):
                    d = (ends[PLAIN] - ends[name]).to_numpy()
                    pieces.append(Piece(remark(f"{code}{constants}"), estimate_difference(d), margin, unit="loss"))
    return pieces, remark("no adagrad measurement")
