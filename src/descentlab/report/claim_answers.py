"""The first page's sentences on two claims, problem by problem: speed and sensitivity, Adam against plain SGD."""

from __future__ import annotations

from typing import Any, NamedTuple

from descentlab.analysis.claims.judgment import ClaimVerdict, value_of
from descentlab.experiment.plan import Plan
from descentlab.i18n.wording import counted, message, words
from descentlab.optimizers.arms import SPEED_ARM
from descentlab.optimizers.roles import ADAM, PLAIN
from descentlab.report.formatting import BOUND_SIGNS, interval
from descentlab.report.marks import Marks
from descentlab.report.phrases import ARM_WORDS, reason_words, remark_words

NO_EVIDENCE = message("no evidence")  # in place of a piece that a problem has not


class ClaimWords(NamedTuple):
    """What the first page says of a claim about Adam and plain SGD.

    Attributes:
        claim: its id.
        section: the page's section with the data behind it.
        subject: what is compared, with its ``rates``.
        many: what is found of ``adam`` and ``sgd`` on ``n`` problems: how many say ``yes`` and ``no``, and the ``rest`` of those
            that were tested.
        alone: what is found where there is one, by its verdict; empty for the verdicts that tell nothing.
        scale: what the numbers below are.
    """

    claim: str
    section: str
    subject: str
    many: str
    alone: dict[str, str]
    scale: str


BY_CLAIM = {
    "speed": ClaimWords(
        "fewer-steps",
        "time-to-target",
        message("Speed, {rates}"),
        message(
            "on {yes} of {n} problems {adam} needs fewer updates than {sgd} to the medium target, on {no} it needs more; on "
            "{rest} the result is inconclusive or negligible"
        ),
        {
            "supported": message("{adam} needs fewer updates than {sgd} to the medium target"),
            "contradicted": message("{adam} needs more updates than {sgd} to the medium target"),
            "negligible": message("{adam} needs as many updates as {sgd} to the medium target, within the margin"),
            "": message("the runs can't settle whether {adam} needs fewer updates than {sgd} to the medium target"),
        },
        message("Plain SGD's updates over Adam's; above 1, Adam is faster:"),
    ),
    "sensitivity": ClaimWords(
        "adam-rate",
        "sensitivity",
        message("Learning rate, {rates}"),
        message(
            "on {yes} of {n} problems {adam} has a wider range of good rates than {sgd}, on {no} it has a narrower one; on "
            "{rest} the result is inconclusive or negligible"
        ),
        {
            "supported": message("{adam} has a wider range of good rates than {sgd}"),
            "contradicted": message("{adam} has a narrower range of good rates than {sgd}"),
            "negligible": message("the ranges of good rates of {adam} and {sgd} are equally wide, within the margin"),
            "": message("the runs can't settle whether {adam} has a wider range of good rates than {sgd}"),
        },
        message("Difference of the ranges in decades; positive means Adam's is wider:"),
    ),
}


def answer_claim(plan: Plan, claims: list[dict[str, Any]], marks: Marks, identity: str) -> list[dict[str, Any]]:
    """A claim about Adam and plain SGD: a statement for each kind of rates that the ledger's pieces of it are at.

    Args:
        plan: the experiment's plan; each of its problems is counted once in every statement.
        claims: the ledger.
        marks: beside names.
        identity: of BY_CLAIM.

    Returns:
        Statements as of :func:`~descentlab.report.answers.write_answers`; one where nothing was tested.
    """
    said = BY_CLAIM[identity]
    entry: dict[str, Any] = next(entry for entry in claims if entry["id"] == said.claim)
    if not entry["pieces"]:
        subject, reason = (
            words(said.subject, rates=words(ARM_WORDS[plan.main_arm].rates)),
            reason_words(entry["reason"]),
        )
        head = words("{subject} is not tested: {reason}.", subject=subject, reason=reason)
        return [{"id": identity, "section": said.section, "head": head, "details": []}]
    statements = []
    for code, arm, suffix in (("problem", plan.main_arm, ""), ("fastest rates", SPEED_ARM, "-fastest")):
        pieces = {piece["place"]["problem"]: piece for piece in entry["pieces"] if piece["place"]["code"] == code}
        if pieces:
            named = {"adam": marks.title(ADAM, arm, plan.problems), "sgd": marks.title(PLAIN, arm, plan.problems)}
            subject = words(said.subject, rates=words(ARM_WORDS[arm].rates))
            head = f"{subject}: {tally_pieces(plan, said, pieces, named)}. "
            details = [piece_detail(problem, pieces.get(problem)) for problem in plan.problems]
            statement = {"id": f"{identity}{suffix}", "section": said.section, "head": head + words(said.scale)}
            statements.append({**statement, "details": details})
    return statements


def tally_pieces(plan: Plan, said: ClaimWords, pieces: dict[str, dict[str, Any]], named: dict[str, str]) -> str:
    """On how many problems the pieces say what; a problem without one isn't tested."""
    verdicts = [
        pieces[problem]["verdict"] if problem in pieces else ClaimVerdict.NOT_TESTED for problem in plan.problems
    ]
    yes, no, untested = (
        verdicts.count(verdict)
        for verdict in (ClaimVerdict.SUPPORTED, ClaimVerdict.CONTRADICTED, ClaimVerdict.NOT_TESTED)
    )
    alone = said.alone.get(verdicts[0], said.alone[""])
    result = counted(len(verdicts), alone, said.many, yes=yes, no=no, rest=len(verdicts) - yes - no - untested, **named)
    if untested and len(verdicts) > 1:
        return words("{result}; on {n} it is not tested", result=result, n=untested)
    return result


def piece_detail(problem: str, piece: dict[str, Any] | None) -> dict[str, str]:
    """The line of one problem, as of :func:`~descentlab.report.answers.write_answers`."""
    if piece is None:
        return {"problem": problem, "verdict": ClaimVerdict.NOT_TESTED, "text": words(NO_EVIDENCE)}
    mean, low, high = (value_of(piece[name]) for name in ("estimate", "low", "high"))
    value = f"{words(BOUND_SIGNS[piece['bound']])}{interval(mean, low, high, piece['n'])}"
    text = "; ".join(filter(None, [value, remark_words(piece["remarks"])]))
    return {"problem": problem, "verdict": piece["verdict"], "size": piece["size"], "text": text}
