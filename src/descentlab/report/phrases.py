"""The words of the codes that tables and documents hold: arms, verdicts, remarks, places, reasons, units.

One place for each word, so that a thing has one name on the page, and another language one catalog to translate.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from descentlab.analysis.claims.judgment import LARGE, SMALL, ClaimVerdict
from descentlab.analysis.remarks import Remark, name_place, remark, unpack_remarks
from descentlab.analysis.settling import lacks_tuning_seeds
from descentlab.analysis.statistics.verdicts import Verdict
from descentlab.i18n.wording import message, words
from descentlab.optimizers.arms import LOGGED_ARM, SPEED_ARM, Arm
from descentlab.optimizers.roles import ADAM, MOMENTUM, PLAIN

# Of the table of contrasts and of the ledger; both enums' members are equal where they have the same code.
VERDICTS: dict[str, str] = {
    Verdict.BETTER: message("better"),
    Verdict.WORSE: message("worse"),
    Verdict.NEGLIGIBLE: message("negligible"),
    Verdict.INCONCLUSIVE: message("inconclusive"),
    Verdict.IDENTICAL: message("identical"),
    Verdict.NOT_TESTED: message("not tested"),
    ClaimVerdict.SUPPORTED: message("supported"),
    ClaimVerdict.CONTRADICTED: message("contradicted"),
    ClaimVerdict.MIXED: message("mixed"),
}
# Of a claim, where the difference has a size worth a word.
SIZED = {
    (ClaimVerdict.SUPPORTED, SMALL): message("supported, small"),
    (ClaimVerdict.CONTRADICTED, SMALL): message("contradicted, small"),
    (ClaimVerdict.SUPPORTED, LARGE): message("supported, and not slightly"),
}


class ArmWords(NamedTuple):
    """How an arm is called: as a noun, by its rates, as a heading, and in a cell of a table."""

    name: str
    rates: str
    title: str
    cell: str


ARM_WORDS: dict[str, ArmWords] = {
    Arm.DEFAULT: ArmWords(
        message("default arm"),
        message("default rates"),
        message("Default learning rates, nothing tuned"),
        message("default"),
    ),
    Arm.TUNED: ArmWords(
        message("tuned arm"),
        message("tuned rates"),
        message("Learning rates tuned equally"),
        message("tuned"),
    ),
    Arm.EXTENDED: ArmWords(
        message("extended arm"),
        message("everything tuned"),
        message("Momentum, epsilon and schedule tuned too"),
        message("extended"),
    ),
    LOGGED_ARM: ArmWords(
        message("as logged"),
        message("logged rates"),
        message("Learning rates as they were logged"),
        message("logged"),
    ),
    # No arm of its own: the tuned arm's runs at the rate that reaches the target soonest.
    SPEED_ARM: ArmWords(
        message("tuned for speed"),
        message("rates tuned for speed"),
        message("rates tuned for speed"),
        message("tuned for speed"),
    ),
}

# Choices under which optimizers are ranked.
CHOICES: dict[str, str] = {
    "validation": message("validation"),
    "train_loss": message("train loss"),
    "test": message("test"),
    **{arm: ARM_WORDS[arm].rates for arm in Arm},
    "last": message("last"),
    "best_validation": message("best validation"),
    "updates": message("updates"),
    "examples": message("examples"),
    "seconds": message("seconds"),
}
# Ways of training in the measurement of the noise floor.
WAYS: dict[str, str] = {
    "constant_rate": message("mini-batches, constant rate"),
    "decayed_rate": message("mini-batches, decayed rate"),
    "full_batch": message("full batch, decayed rate"),
}
# Variants of Wilson et al.'s construction.
VARIANTS: dict[str, str] = {
    "full_batch": message("full batch"),
    "mini_batches": message("mini-batches"),
    "keras_accumulator": message("Keras' accumulator"),
}
# Pairs of networks of which the distance is measured.
MATCHINGS: dict[str, str] = {"as_trained": message("as trained"), "matched": message("matched")}

NOT_RUN = message("not run")  # in place of a contrast whose optimizers a problem has not
SPLIT_WORDS: dict[str, str] = {"train": message("training"), "val": message("validation"), "test": message("test")}

# Codes that are themselves the English words for what they mean, as the cells of tables have them.
CELLS = (
    message("easy"),
    message("medium"),
    message("hard"),
    message("primary"),
    message("exploratory"),
    message("won"),
    message("lost"),
    message("undecided"),
    message("diverged"),
    message("failed"),
    message("missing"),
    message("edge"),
    message("cliff"),
    message("absent class"),
    message("lagging averages"),
    message("few seeds"),
    message("tuning noise unmeasured"),
    message("unscored"),
    message("unknown"),
    message("same seeds"),
)

# What a reader must know of a number.
REMARKS = {
    "diverged": message("{name} diverged on {n} of {seeds} seeds"),
    "wins": message("judged by wins, {won} of {decided}"),
    "wins, some within": message("judged by wins, {won} of {decided} ({level} within the margin)"),
    "reached": message("Adam reached the target in {adam} runs, plain SGD in {sgd}"),
    "fits": message(
        "Adam's training objective ends {decades:+.2g} [{low:+.2g}, {high:+.2g}] decades lower (positive: it fits better; 95 % "
        "over all looks, not corrected for other differences)"
    ),
    "undertuned": message("{name} may be undertuned: its grid of learning rates was too narrow"),
    "own settings": message("{name} has settings that are not its class's defaults"),
    "settled later": message("judged at look {look} of {looks}"),
    "no seeds settle": message("more seeds wouldn't settle it"),
    "tuning seeds lacking": message(
        "more tuning seeds could settle it, more final seeds can't: {share:.0%} of its variance is noise of tuning"
    ),
    "budget spent": message("the budget for more seeds is spent"),
    "operations": message("{adam:.4g} and {sgd:.4g} operations per parameter"),
    "bytes moved": message("{adam:.3g} and {sgd:.3g} bytes read and written per parameter"),
    "least time": message("least time of {ratio:.3g} times plain SGD's"),
    "counted": message("counted, the same for every seed"),
    "mean widths": message("mean widths {wide:.2g} and {narrow:.2g} decades"),
    "end outside": message("some end lies outside the rates that were tried"),
    "none finished": message("no run finished"),
    "mean gap": message("mean gap {gap:.2g}"),
    "runs diverged": message("{n} of {of} runs diverged"),
    "lines counted": message("{n} lines, counted"),
    "both matched": message("both reached the training loss in {n} of {of} seeds"),
    "escapes": message("momentum escapes from {momentum:.1%} of them and plain descent from {sgd:.1%}"),
    "ejections": message("of {n:,} starts inside momentum leaves {momentum:.1%} and plain descent {sgd:.1%}"),
    "solutions": message("mean distance {distance:.2g} of the norm, barrier {barrier:.2g}"),
    "symmetry": message(
        "as they were trained, barrier {barrier:.2g}: the order of the hidden units explains {explained:.2g} of it"
    ),
    "peak memory": message("{first:.3g} MiB against {second:.3g} MiB"),
    "cosines": message("cosine {adagrad:.4f}; of Adam's own terms {own:.4f}, of momentum alone {momentum:.3f}"),
}
# What evidence was measured on.
PLACES = {
    "problem": "{problem}",
    "optimizer": "{optimizer}",
    "best rates": message("{landscape}, each at its best rate"),
    "same rate": message("{landscape}, both at plain descent's rate"),
    "fastest rates": message("{problem}, at rates tuned for speed"),
    "best known": message("{problem} (to the best known)"),
    "share": message("{problem} at {share:.0%} of the budget"),
    "update": message("update of {model} ({n:,} parameters)"),
    "whole step": message("whole step of {model} ({n:,} parameters)"),
    "matched units": message("{problem} (units matched)"),
    "batch": message("{problem}, {size:,} examples at once"),
    "accumulated batch": message("{problem}, {size:,} examples in batches of {part}"),
    "at loss": message("{problem} at training loss {loss:g}"),
    "scaled loss": message("loss times {scale:g} (AdaGrad as Keras has it)"),
    "scaled loss, without constants": message("loss times {scale:g} (AdaGrad without Keras' accumulator and epsilon)"),
    "valley along the axes": message("ill-conditioned quadratic along the axes"),
    "valley across the axes": message("ill-conditioned quadratic across the axes"),
    "rare classes": message("rare classes (AdaGrad as Keras has it)"),
    "frequent classes": message("frequent classes (AdaGrad as Keras has it)"),
    "all classes": message("all classes (AdaGrad as Keras has it)"),
    "rare classes, without constants": message("rare classes (AdaGrad without Keras' accumulator and epsilon)"),
    "frequent classes, without constants": message("frequent classes (AdaGrad without Keras' accumulator and epsilon)"),
    "all classes, without constants": message("all classes (AdaGrad without Keras' accumulator and epsilon)"),
}
# Why a claim has no evidence.
REASONS = {
    "untuned": message("no learning rate was tuned, or the experiment lacks the optimizers"),
    "no optimum": message("plain SGD was run on no problem with a known optimum"),
    "no own optimizer": message("the experiment has no custom optimizer"),
    "bytes not counted": message("the bytes that the optimizers keep were not counted"),
    "operations not counted": message("the operations of an update were not counted"),
    "batch sizes not compared": message("batch sizes were not compared"),
    "no matched loss": message(
        "the full batch or mini-batches never reached the training loss at which they are compared"
    ),
    "no landscape": message("no descent on a landscape was measured"),
    "no minima": message("no minima were compared"),
    "composition not measured": message("the parts of Adam's update were not compared"),
    "memory not measured": message("peak memory was not measured (it can be on Linux)"),
    "no adagrad measurement": message("no measurement with AdaGrad and plain SGD was made"),
}
LACKING = {
    ADAM: "Adam",
    PLAIN: message("plain SGD"),
    MOMENTUM: message("momentum"),
    "targets": message("the reference that sets the targets"),
    "default arm": message("the default arm"),
}
UNITS = {
    "relative distance": message("how far the path moves, share of both displacements"),
    "decades of final value": message("decades of final value"),
    "loss": message("loss"),
}


def arm_cell(arm: str) -> str:
    """An arm in a cell of a table; as it stands where it is none, or one of another version."""
    return words(ARM_WORDS[arm].cell) if arm in ARM_WORDS else arm


def verdict_class(judged: Mapping[str, Any]) -> str:
    """The class of a verdict in the page's style sheet."""
    return str(judged["verdict"]).replace(" ", "-")


def verdict_words(judged: Mapping[str, Any]) -> str:
    """The verdict of a claim or of a piece of its evidence, as claims.json holds it."""
    plain = VERDICTS.get(judged["verdict"], judged["verdict"])
    return words(SIZED.get((judged["verdict"], judged.get("size", "")), plain))


def remark_words(remarks: Iterable[Remark]) -> str:
    """Remarks as one text."""
    return "; ".join(_filled(REMARKS, one) for one in remarks)


def contrast_note(row: Mapping[Hashable, Any]) -> str:
    """What a reader must know of a row of the table of contrasts."""
    remarks = unpack_remarks(row["remarks"])
    if row["verdict"] == Verdict.INCONCLUSIVE and not math.isnan(row["seeds_needed"]):  # by its interval
        shares = row["example_share"], row["choice_share"]
        if lacks_tuning_seeds(row["difference_mean"], row["margin"], row["floor"], *shares):
            remarks.append(remark("tuning seeds lacking", share=row["choice_share"]))
    return remark_words(remarks)


def place_words(place: Remark) -> str:
    """What a piece of evidence was measured on."""
    return _filled(PLACES, place)


def reason_words(reason: Remark) -> str:
    """Why a claim was not tested."""
    if reason["code"] == "claim":
        return words(reason["text"])
    if reason["code"] == "lacks":
        *others, last = (words(LACKING.get(name, name)) for name in reason["names"])
        names = words("{first} or {last}", first=", ".join(others), last=last) if others else last
        return words("the experiment lacks {names}", names=names)
    return _filled(REASONS, reason)


def unit_words(unit: str) -> str:
    """The unit of a difference."""
    return words(UNITS.get(unit, unit))


def _filled(phrases: Mapping[str, str], one: Remark) -> str:
    if one["code"] not in phrases:  # of another version
        return name_place(one)
    return words(phrases[one["code"]], **{name: value for name, value in one.items() if name != "code"})
