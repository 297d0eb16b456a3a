"""Evidence for claims from dedicated measurements: step cost and mechanism problems (docs/protocol.md, "Claims").

A positive difference agrees with the claim.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.claims.evidence import ClaimEvidence, Pieces, missing
from descentlab.analysis.claims.judgment import Claim, Piece
from descentlab.analysis.remarks import remark
from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.optimizers.roles import ADAGRAD, ADAGRAD_FROM_ZERO, ADAM, MOMENTUM, PLAIN

LEAST_BARRIER = 0.02  # of the loss: where it rises by less between two solutions, they lie in one valley
ESCAPES = {"best rates": "global_basin", "same rate": "same_rate_basin"}  # codes of places, and what ended there
GROUPS = {"rare": "rare classes", "frequent": "frequent classes", "all": "all classes"}  # likewise, of classes
LEAST_VALUE, MOST_VALUE = 1e-12, 1e6  # final values beyond these count as zero, or as divergence
SCALED = {ADAGRAD: "scaled loss", ADAGRAD_FROM_ZERO: "scaled loss, without constants"}  # the codes of their places
# AdaGrad divides coordinate by coordinate: it helps most along the axes; across them is the contrast.
VALLEYS = {"quadratic": "valley along the axes", "rotated_quadratic": "valley across the axes"}


def step_cost(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Logarithm of the ratio of a step's time, Adam's over plain SGD's, paired by round."""
    table = evidence.measured.get("step_cost", pd.DataFrame())
    if table.empty:
        return [], remark("step cost not measured")
    pieces = []
    both = table[table["optimizer"].isin([ADAM, PLAIN])]
    sizes = both.groupby("model")["batch_size"].nunique()
    for (model, parameters, batch_size), group in both.groupby(["model", "parameters", "batch_size"], sort=False):
        times = group.pivot(index="round", columns="optimizer", values="step_microseconds")
        if {ADAM, PLAIN} <= set(times):
            logs = np.log(times[ADAM] / times[PLAIN]).dropna().to_numpy()
            place = remark("model", model=model, n=parameters)
            if sizes[model] > 1:  # timed both as a standard model and as a problem with its own batch size
                place = remark("model and batch", model=model, n=parameters, size=batch_size)
            pieces.append(Piece(place, estimate_difference(logs), float(claim.margin)))
    return pieces, missing(ADAM, PLAIN)


def gap_at_matched_loss(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Test − training loss at the same training loss, full batch minus mini-batches of 16, paired by seed."""
    table = evidence.measured.get("batch_size", pd.DataFrame())
    if table.empty:
        return [], remark("batch sizes not compared")
    reached = table[table["reached"]]
    gaps = reached.pivot(index="seed", columns="batch_size", values="gap_at_target")
    full = int(table["batch_size"].max())
    if not {16, full} <= set(gaps):
        return [], remark("no matched loss")
    d = (gaps[full] - gaps[16]).dropna().to_numpy()
    remarks = [remark("both matched", n=len(d), of=table["seed"].nunique())]
    return [Piece(remark("problem", problem="mlp"), estimate_difference(d), float(claim.margin), remarks=remarks)], None


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
            shares = {
                "momentum_in": outside[MOMENTUM].mean(),
                "sgd_in": outside[PLAIN].mean(),
                "momentum_out": 1 - inside[MOMENTUM].mean(),
                "sgd_out": 1 - inside[PLAIN].mean(),
            }
            pieces.append(
                Piece(
                    remark(code, landscape=str(landscape)),
                    estimate_difference(d.to_numpy()),
                    float(claim.margin),
                    remarks=[remark("escapes and ejections", inside=len(inside), **shares)],
                )
            )
    return pieces, missing(MOMENTUM, PLAIN)


def barrier_between_minima(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Barrier on the line between two networks trained from different seeds, minus the least that counts.

    As they were trained, and with the second's hidden units in the order closest to the first's, over disjoint pairs of seeds:
    a barrier that vanishes when units are reordered separates two copies of one minimum.
    """
    table = evidence.measured.get("minima", pd.DataFrame())
    if table.empty:
        return [], remark("no minima")
    disjoint = table[(table["first_seed"] % 2 == 0) & (table["second_seed"] == table["first_seed"] + 1)]
    pieces = []
    for matching, code in (("as_trained", "as trained"), ("matched", "matched units")):
        pairs = disjoint[(disjoint["problem"] == "mlp") & (disjoint["matching"] == matching)]
        means = pairs[["relative_distance", "barrier"]].mean()
        remarks = [remark("solutions", distance=means["relative_distance"], barrier=means["barrier"])]
        d = pairs["barrier"].to_numpy() - LEAST_BARRIER
        pieces.append(Piece(remark(code, problem="mlp"), estimate_difference(d), float(claim.margin), remarks=remarks))
    return pieces, None


def batch_memory(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Logarithm of the ratio of peak memory, the largest batch over 64, paired by repeat."""
    table = evidence.measured.get("memory", pd.DataFrame())
    if table.empty or table["peak_bytes"].isna().all():
        return [], remark("memory not measured")
    peaks = table.pivot(index="repeat", columns="batch_size", values="peak_bytes")
    largest = int(table["batch_size"].max())
    logs = np.log(peaks[largest] / peaks[64]).replace([np.inf, -np.inf], np.nan).dropna().to_numpy()
    mean = {size: peaks[size].mean() / 2**20 for size in (largest, 64)}
    remarks = [remark("peak memory", most=mean[largest], largest=largest, least=mean[64])]
    place = remark("batch", problem="slides_cnn", size=largest)
    return [Piece(place, estimate_difference(logs), float(claim.margin), remarks=remarks)], None


def normalized_magnitude(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """AdaGrad against plain descent: a loss scaled down and up, an ill-conditioned quadratic, rare and frequent classes."""
    pieces = []
    margin = float(claim.margin)
    scaled = evidence.measured.get("loss_scale", pd.DataFrame())
    if not scaled.empty:
        for scale, group in scaled.groupby("scale"):
            far = group.pivot(index="seed", columns="optimizer", values="relative_distance")
            for name, code in SCALED.items():
                if {name, PLAIN} <= set(far):
                    d = (far[PLAIN] - far[name]).to_numpy()
                    place = remark(code, scale=scale)
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
            if {ADAGRAD, PLAIN} <= set(ends):
                d = (ends[PLAIN] - ends[ADAGRAD]).to_numpy()
                pieces.append(Piece(remark(code), estimate_difference(d), margin, unit="loss"))
    return pieces, remark("no adagrad measurement")
