"""What was compared, under which rules, and how to reproduce the page, for externally logged runs."""

from __future__ import annotations

import shlex

import yaml

from descentlab.experiment.plan import ImportedPlan
from descentlab.i18n.wording import message, words
from descentlab.report.blocks import Evidence, Paragraph, Section, Table, number

RULES = {
    message("Runs"): message(
        "The runs of the MLflow experiment {experiment} that have ended, at one learning rate per optimizer; they were trained "
        "and logged by other code. What was not logged is listed among the alarms."
    ),
    message("Learning rate"): message(
        "Where an optimizer was run at several, the one with the best mean validation metric is compared, never the one with "
        "the best test metric. The same seeds are then compared, so the choice favors it a little."
    ),
    message("Pairs"): message(
        "Runs of two optimizers with the same seed number are a pair. Whether they began from the same weights and saw the same"
        " split can't be checked; where they didn't, pairing gains nothing and intervals are as wide as for unpaired runs."
    ),
    message("Diverged and failed"): message(
        "A run with a loss that is not finite diverged, whatever its status in MLflow, and so did one that finished with a "
        "validation or test metric that is not finite: it keeps its row, is the worst possible result and is never averaged "
        "away. A run that MLflow lists as failed or killed, with finite losses, is dropped from pairs, and so is one that lacks "
        "a metric that others logged."
    ),
    message("Verdicts of logged runs"): message(
        "Whole corrected interval inside the margin: negligible; above 0: better; below 0: worse; otherwise inconclusive. "
        "Student's t over seeds alone; a false discovery rate of 5 % over all contrasts. Where only one side diverged on a seed, "
        "it lost that seed, and the sign test decides."
    ),
    message("Limits of logged runs"): message(
        "The findings hold for these runs, on these problems, with the settings that their authors gave each optimizer."
    ),
}
MARGINS = {
    "declared": message("from the mapping"),
    "usual margin": message("the usual one for accuracy, not declared"),
    "median margin": message("1 % of the median, not declared"),
}


def imported_models(evidence: Evidence) -> Section:
    """Problems and optimizers, as far as they were logged."""
    plan, unknown = evidence.plan, words("unknown")
    assert isinstance(plan, ImportedPlan)
    problems = [
        [
            name,
            evidence.metric(name),
            f"{number(info.margin)} ({words(MARGINS[info.margin_from])})",
            ", ".join(map(str, info.epochs)) or unknown,
            ", ".join(map(str, info.batch_size)) or unknown,
            str(plan.runs[name]),
        ]
        for name, info in plan.problems.items()
    ]
    headers = [words("problem"), words("metric"), words("margin"), words("epochs"), words("batch size"), words("runs")]
    blocks = [Table("problems", words("Problems as they were logged"), headers, problems, numeric=frozenset({5}))]
    optimizers = [
        [
            name,
            ", ".join(info.logged),
            ", ".join(unknown if rate is None else number(rate) for rate in info.grid),
            info.paper,
        ]
        for name, info in plan.optimizers.items()
    ]
    headers = [words("optimizer"), words("logged as"), words("learning rates"), words("source")]
    caption = words("All learning rates that were logged; the table of means says which one is compared.")
    blocks.append(Table("optimizers", words("Optimizers"), headers, optimizers, caption, folded=True))
    return Section("models", words("Problems and optimizers"), blocks)


def imported_protocol(evidence: Evidence) -> Section:
    """The rules in plain words."""
    experiment = evidence.plan.config.experiment
    rules = [[words(rule), words(meaning, experiment=f"“{experiment}”")] for rule, meaning in RULES.items()]
    headers = [words("rule"), words("what it means")]
    return Section(
        "protocol", words("Protocol"), [Table("rules", words("The rules of the comparison"), headers, rules)]
    )


def imported_provenance(evidence: Evidence) -> Section:
    """Where the runs are stored, and the command that reproduces the page."""
    plan = evidence.plan
    assert isinstance(plan, ImportedPlan)
    experiment, imported = plan.config.experiment, plan.imported
    rows = [[name, version] for name, version in plan.versions.items()]
    rows += [
        [words("MLflow experiment"), f"{experiment} (experiment_id = {imported.experiment_id})"],
        [words("MLflow run, for example"), str(next(iter(evidence.comparison.scores["run_id"]), ""))],
        [words("commits of the code that trained"), ", ".join(imported.commits) or words("unknown")],
    ]
    blocks: list[Table | Paragraph] = [
        Table("versions", words("Versions and tracking"), [words("what"), words("value")], rows)
    ]
    command = f"python -m descentlab report --mlflow-experiment {shlex.quote(experiment)}"
    if not imported.mapping:
        blocks.append(Paragraph(words("To make this page again: {command}", command=command)))
        return Section("provenance", words("Provenance"), blocks)
    again = words(
        "To make this page again: save this as mapping.yaml, then run {command}",
        command=f"{command} --mapping mapping.yaml",
    )
    text = yaml.safe_dump(dict(imported.mapping), sort_keys=False, allow_unicode=True)
    blocks += [Paragraph(again), Paragraph(text, preformatted=True)]
    return Section("provenance", words("Provenance"), blocks)
