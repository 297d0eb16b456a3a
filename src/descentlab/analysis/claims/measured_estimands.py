"""What claims are tested on in measurements of their own: step cost and mechanism problems (docs/protocol.md, "Claims").

Differences are positive where they are as the claim says.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from descentlab.analysis.claims.evidence import ClaimEvidence, Found, missing
from descentlab.analysis.claims.verdicts import Claim, Piece
from descentlab.analysis.statistics.paired import estimate_difference
from descentlab.i18n.wording import message, words

MATCHED_APART = 0.1  # of the mean norm: nearer than this, two solutions count as one
RARE, WORST_SCALE = "rare", 1e-3
LEAST_VALUE, MOST_VALUE = 1e-12, 1e6  # final values beyond them are as good as zero, or as divergence
WITHOUT_CONSTANTS = "adagrad (accumulator 0)"
SCALED = {
    "adagrad": message("loss times {scale:g} (AdaGrad as Keras has it)"),
    WITHOUT_CONSTANTS: message("loss times {scale:g} (AdaGrad without Keras' accumulator and epsilon)"),
}
# AdaGrad divides coordinate by coordinate: along the axes is where it helps most, across them the contrast.
VALLEYS = {
    "quadratic": message("ill-conditioned quadratic along the axes"),
    "rotated_quadratic": message("ill-conditioned quadratic across the axes"),
}


def step_cost(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Logarithm of the ratio of a step's time, Adam's over plain SGD's, paired by round."""
    table = evidence.measured.get("step_cost", pd.DataFrame())
    if table.empty:
        return [], words("the cost of a step was not measured")
    pieces = []
    both = table[table["optimizer"].isin(["adam", "sgd"])]
    sizes = both.groupby("model")["batch_size"].nunique()
    for (model, parameters, batch_size), group in both.groupby(["model", "parameters", "batch_size"], sort=False):
        times = group.pivot(index="round", columns="optimizer", values="step_microseconds")
        if {"adam", "sgd"} <= set(times):
            logs = np.log(times["adam"] / times["sgd"]).dropna().to_numpy()
            where = words("{model} ({n:,} parameters)", model=model, n=parameters)
            if sizes[model] > 1:  # timed always, and a problem of the experiment with batches of its own
                where = words(
                    "{model} ({n:,} parameters, batches of {size})", model=model, n=parameters, size=batch_size
                )
            pieces.append(Piece(where, estimate_difference(logs), float(claim.margin)))
    return pieces, missing("Adam", words("plain SGD"))


def gap_at_matched_loss(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Test − training loss at the same training loss, full batch minus mini-batches of 16, paired by seed."""
    table = evidence.measured.get("batch_size", pd.DataFrame())
    if table.empty:
        return [], words("batch sizes were not compared")
    reached = table[table["reached"]]
    gaps = reached.pivot(index="seed", columns="batch_size", values="gap_at_target")
    full = int(table["batch_size"].max())
    if not {16, full} <= set(gaps):
        return [], words("full batch or mini-batches never came to the training loss at which they are compared")
    d = (gaps[full] - gaps[16]).dropna().to_numpy()
    note = words("both came to the training loss in {n} of {of} seeds", n=len(d), of=table["seed"].nunique())
    return [Piece(words("mlp (digits)"), estimate_difference(d), float(claim.margin), note=note)], ""


def global_basin(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Share of starts that end in the global basin, momentum minus plain descent, paired by start."""
    table = evidence.measured.get("landscapes", pd.DataFrame())
    if table.empty:
        return [], words("no landscape was descended")
    pieces = []
    for landscape, group in table[table["spurious"]].groupby("landscape", sort=False):
        ends = group.pivot(index="start", columns="optimizer", values="global_basin").astype(float)
        if {"momentum", "sgd"} <= set(ends):
            shares = {name: ends[name].mean() for name in ("momentum", "sgd")}
            note = words("shares {momentum:.3g} and {sgd:.3g}", **shares)
            d = (ends["momentum"] - ends["sgd"]).to_numpy()
            pieces.append(Piece(str(landscape), estimate_difference(d), float(claim.margin), note=note))
    return pieces, missing("momentum", words("plain SGD"))


def solutions_apart(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Distance of two networks trained from other seeds after matching their units, over disjoint pairs of seeds."""
    table = evidence.measured.get("minima", pd.DataFrame())
    if table.empty:
        return [], words("no minima were compared")
    disjoint = table[(table["first_seed"] % 2 == 0) & (table["second_seed"] == table["first_seed"] + 1)]
    mine = disjoint[(disjoint["problem"] == "mlp") & (disjoint["matching"] == "matched")]
    d = mine["relative_distance"].to_numpy() - MATCHED_APART
    note = words(
        "mean distance {distance:.2g} of the norm, barrier {barrier:.2g}",
        distance=mine["relative_distance"].mean(),
        barrier=mine["barrier"].mean(),
    )
    return [Piece(words("mlp (units matched)"), estimate_difference(d), float(claim.margin), note=note)], ""


def batch_memory(evidence: ClaimEvidence, claim: Claim) -> Found:
    """Logarithm of the ratio of peak memory, the largest batch over 64, paired by repeat."""
    table = evidence.measured.get("memory", pd.DataFrame())
    if table.empty or table["peak_bytes"].isna().all():
        return [], words("peak memory was not measured (it can be on Linux)")
    peaks = table.pivot(index="repeat", columns="batch_size", values="peak_bytes")
    largest = int(table["batch_size"].max())
    logs = np.log(peaks[largest] / peaks[64]).replace([np.inf, -np.inf], np.nan).dropna().to_numpy()
    mean = {size: peaks[size].mean() / 2**20 for size in (largest, 64)}
    note = words(
        "{most:.3g} MiB at {largest}, {least:.3g} MiB at 64", most=mean[largest], largest=largest, least=mean[64]
    )
    where = words("slides_cnn (batch {size:,})", size=largest)
    return [Piece(where, estimate_difference(logs), float(claim.margin), note=note)], ""


def normalised_magnitude(evidence: ClaimEvidence, claim: Claim) -> Found:
    """AdaGrad against plain descent: a scaled loss, an ill-conditioned quadratic, rare classes."""
    pieces = []
    margin = float(claim.margin)
    scaled = evidence.measured.get("loss_scale", pd.DataFrame())
    if not scaled.empty:
        far = scaled[scaled["scale"] == WORST_SCALE].pivot(
            index="seed", columns="optimizer", values="relative_distance"
        )
        for name, where in SCALED.items():
            if {name, "sgd"} <= set(far):
                d = (far["sgd"] - far[name]).to_numpy()
                pieces.append(
                    Piece(
                        words(where, scale=WORST_SCALE),
                        estimate_difference(d),
                        margin,
                        unit=message("how far the path moves, share of both displacements"),
                    )
                )
    valley = evidence.measured.get("landscapes", pd.DataFrame())
    for landscape, where in VALLEYS.items():
        ends = (
            valley
            if valley.empty
            else valley[valley["landscape"] == landscape].pivot(index="start", columns="optimizer", values="value")
        )
        if {"adagrad", "sgd"} <= set(ends):
            values = ends.clip(lower=LEAST_VALUE, upper=MOST_VALUE)
            d = np.log10(values["sgd"] / values["adagrad"]).dropna().to_numpy()
            unit = message("decades of final value")
            pieces.append(Piece(words(where), estimate_difference(d), margin, unit=unit))
    rare = evidence.measured.get("imbalance", pd.DataFrame())
    if not rare.empty:
        last = rare[(rare["group"] == RARE) & (rare["updates"] == rare["updates"].max())]
        ends = last.pivot(index="seed", columns="optimizer", values="loss")
        if {"adagrad", "sgd"} <= set(ends):
            d = (ends["sgd"] - ends["adagrad"]).to_numpy()
            pieces.append(Piece(words("rare classes"), estimate_difference(d), margin, unit=message("loss")))
    return pieces, words("none of the measurements with AdaGrad and plain SGD was made")
