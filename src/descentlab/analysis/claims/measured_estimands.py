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

MATCHED_APART = 0.1  # of the mean norm: closer than this, two solutions count as one
RARE, WORST_SCALE = "rare", 1e-3
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


def global_basin(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Share of starts that end in the global basin, momentum minus plain descent, paired by start."""
    table = evidence.measured.get("landscapes", pd.DataFrame())
    if table.empty:
        return [], remark("no landscape")
    pieces = []
    for landscape, group in table[table["spurious"]].groupby("landscape", sort=False):
        ends = group.pivot(index="start", columns="optimizer", values="global_basin").astype(float)
        if {MOMENTUM, PLAIN} <= set(ends):
            shares = {name: ends[name].mean() for name in (MOMENTUM, PLAIN)}
            place, remarks = remark("landscape", landscape=str(landscape)), [remark("basin shares", **shares)]
            d = (ends[MOMENTUM] - ends[PLAIN]).to_numpy()
            pieces.append(Piece(place, estimate_difference(d), float(claim.margin), remarks=remarks))
    return pieces, missing(MOMENTUM, PLAIN)


def solutions_apart(evidence: ClaimEvidence, claim: Claim) -> Pieces:
    """Distance of two networks trained from different seeds, their units matched, over disjoint pairs of seeds."""
    table = evidence.measured.get("minima", pd.DataFrame())
    if table.empty:
        return [], remark("no minima")
    disjoint = table[(table["first_seed"] % 2 == 0) & (table["second_seed"] == table["first_seed"] + 1)]
    matched = disjoint[(disjoint["problem"] == "mlp") & (disjoint["matching"] == "matched")]
    d = matched["relative_distance"].to_numpy() - MATCHED_APART
    means = matched[["relative_distance", "barrier"]].mean()
    remarks = [remark("solutions", distance=means["relative_distance"], barrier=means["barrier"])]
    return [
        Piece(remark("matched units", problem="mlp"), estimate_difference(d), float(claim.margin), remarks=remarks)
    ], None


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
    """AdaGrad against plain descent: a scaled loss, an ill-conditioned quadratic, rare classes."""
    pieces = []
    margin = float(claim.margin)
    scaled = evidence.measured.get("loss_scale", pd.DataFrame())
    if not scaled.empty:
        far = scaled[scaled["scale"] == WORST_SCALE].pivot(
            index="seed", columns="optimizer", values="relative_distance"
        )
        for name, code in SCALED.items():
            if {name, PLAIN} <= set(far):
                d = (far[PLAIN] - far[name]).to_numpy()
                place = remark(code, scale=WORST_SCALE)
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
        last = rare[(rare["group"] == RARE) & (rare["updates"] == rare["updates"].max())]
        ends = last.pivot(index="seed", columns="optimizer", values="loss")
        if {ADAGRAD, PLAIN} <= set(ends):
            d = (ends[PLAIN] - ends[ADAGRAD]).to_numpy()
            pieces.append(Piece(remark("rare classes"), estimate_difference(d), margin, unit="loss"))
    return pieces, remark("no adagrad measurement")
