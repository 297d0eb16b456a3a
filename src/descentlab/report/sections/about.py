"""What was trained, under which rules, and how to reproduce it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from descentlab.analysis.alarms import unmeasured_tuning
from descentlab.analysis.contrasts import PRIMARY
from descentlab.experiment.plan import TrainingPlan
from descentlab.experiment.plan_parts import PlannedOptimizer, PlannedProblem
from descentlab.experiment.records import rate_in_table
from descentlab.i18n.wording import joined, message, words
from descentlab.optimizers.arms import Arm
from descentlab.optimizers.table import ASSUMED, CONFIG
from descentlab.report.blocks import Evidence, Paragraph, Section, Table, number
from descentlab.report.phrases import arm_cell
from descentlab.report.sections.imported import imported_models, imported_protocol, imported_provenance

GROUPED = message(
    "The metric or the loss is no mean over examples, so intervals take the test examples in groups: by how much the metric "
    "changes without each (jackknife)."
)
SCHEDULES, GRID, SELECTION = message("Schedules"), message("Grid"), message("Selection")
PATIENCE, LOOKS = message("Patience"), message("Looks")
RULES = {
    message("Arms"): message(
        "Default (Keras' own learning rate, constant) and tuned (best of a grid, with a schedule) answer different questions; "
        "they are never mixed in one ranking."
    ),
    SCHEDULES: message("Of the learning rate, in the tuned arm: {schedules}."),
    GRID: message(
        "{points} learning rates, half a decade apart, and {tuning} tuning seeds. The middle is a rate that the literature "
        "recommends, named in the table of optimizers, unless the config names another. Every optimizer's grid grows by the same "
        "rule, at most to {most_points} rates: while rates as good as the best, within the margin, reach its end."
    ),
    SELECTION: message(
        "The middle of the learning rates that are as good as the best, within the margin, by the mean validation metric of the "
        "tuning seeds; written to a file before any final run starts. Tuning runs get data whose test examples are set to zero. "
        "{noise}"
    ),
    message("Seeds"): message(
        "{final} final seeds, disjoint from the tuning seeds. A seed redraws weights, split into training and validation, data "
        "order and dropout, each from its own stream."
    ),
    LOOKS: message(
        "A primary contrast is judged at {looks} seeds, as long as it is open; these looks were declared before the runs. "
        "Each spends the share of its level that it adds of the seeds, so that looking again makes no false alarm likelier. "
        "Only primary contrasts use the added seeds; everything else on this page is of the first {final}."
    ),
    message("Pairing"): message(
        "One seed means the same initial weights, split and batches for every optimizer; runs whose hashes differ are rejected "
        "as a pair."
    ),
    message("Test split"): message("Canonical, or drawn once: the same for all seeds and optimizers."),
    message("Full batch"): message("gd sees as many examples as the others; gd_equal_updates makes as many updates."),
    message("Divergence"): message(
        "A loss that is not finite, or many times that of the initial weights, is a result, the worst possible one: it keeps its "
        "row and is never averaged away."
    ),
    message("Verdicts"): message(
        "Whole corrected interval inside the margin: negligible; above 0: better; below 0: worse; otherwise inconclusive. "
        "Student's t over seeds and test examples, both drawn at random; Holm over all primary contrasts, a false discovery rate "
        "of 5 % over the exploratory ones. Where only one side diverged on a seed, it lost that seed, and the sign test decides."
    ),
    message("Seconds"): message(
        "Updates times the cost of a step, measured serially with nothing else running, in the mode that trains the problem. If "
        "no step was measured: wall time of the updates with other jobs running, which allows only a rough comparison."
    ),
    PATIENCE: message(
        "A run ends after {patience} epochs without a fall of the validation loss, whatever its optimizer: its last weights "
        "count, and the examples that it processed. Its curve stays where it ended."
    ),
    message("Limits"): message(
        "The findings hold on these problems, at these sizes and budgets. Seeds redraw training and validation from one pool "
        "and share its test split, so intervals hold for that pool."
    ),
}
NOISE_IN = message("What other tuning seeds would have chosen is part of the tuned intervals.")
NOISE_OUT = message(
    "What other tuning seeds would have chosen was not measured and is not part of the tuned intervals."
)
NOISE_OUT_ON = message(
    "What other tuning seeds would have chosen is part of the tuned intervals, except on {problems}, where it was not measured."
)
OPTIMIZER_HEADERS = (
    message("optimizer"),
    message("class"),
    message("set"),
    message("default rate"),
    message("grid"),
    message("its center"),
    message("source"),
)
CENTER_SOURCES = {CONFIG: message("the config"), ASSUMED: message("nothing recommends one")}
DIFFERENCES = {
    "normal": message("normal"),
    "heavy-tailed": message("heavy-tailed (t, 3 degrees)"),
    "exponential": message("exponential"),
    "lognormal": message("lognormal"),
    "rounded": message("rounded (right or wrong)"),
}
SHAPES = {True: message("symmetric"), False: message("skewed")}


def models(evidence: Evidence) -> Section:
    """Each problem's layers as Keras prints them, how the parameters add up, and the optimizers."""
    plan = evidence.plan
    if not isinstance(plan, TrainingPlan):
        return imported_models(evidence)
    blocks: list[Table] = []
    for name, info in plan.problems.items():
        rows = [[layer.name, layer.type, layer.output_shape, f"{layer.parameters:,}"] for layer in info.layers]
        rows.append([words("total"), "", "", f"{info.parameters:,}"])
        count = f"{words(info.count)}. " if info.count else ""
        caption = words(
            "{title}. {count}{train:,} training, {val:,} validation, {test:,} test examples; batches of {batch}, {epochs} "
            "epochs; metric {metric}, margin {margin}; trained in mode {mode}.",
            title=words(info.title),
            count=count,
            train=info.train_examples,
            val=info.val_examples,
            test=info.test_examples,
            batch=info.batch_size,
            epochs=info.epochs,
            metric=evidence.metric(name),
            margin=number(info.margin),
            mode=info.mode,
        )
        if info.data_source:
            caption += " " + words("Data: {source}.", source=words(info.data_source))
        if info.train_examples < info.requested_examples:
            caption += " " + words(
                "Of {requested:,} training examples {train:,} make whole batches and are trained on.",
                requested=info.requested_examples,
                train=info.train_examples,
            )
        if info.class_weight:
            weights = ", ".join(f"{label}: {number(weight)}" for label, weight in info.class_weight.items())
            caption += " " + words(
                "Trained with class weights ({weights}); every evaluation is without them, with the loss that has them beside "
                "it.",
                weights=weights,
            )
        if not info.by_example:
            caption += " " + words(GROUPED)
        if info.mode_reasons:
            caption += " " + words("Why no faster mode: {reasons}", reasons="; ".join(info.mode_reasons))
        title = words("{problem}: {n:,} parameters", problem=name, n=info.parameters)
        headers = [words("layer"), words("type"), words("output shape"), words("parameters")]
        blocks.append(Table(f"model-{name}", title, headers, rows, caption, numeric=frozenset({3})))
    rows = [
        [
            name,
            info.factory,
            settings_words(info.hyperparameters),
            number(rate_in_table(info.default_learning_rate)),
            grid_words(info.grid),
            center_words(info),
            info.paper,
        ]
        for name, info in plan.optimizers.items()
    ]
    headers = [words(header) for header in OPTIMIZER_HEADERS]
    caption = words(
        "Set: what differs from the class's own defaults, which hold for everything else, in every arm or in the one named. "
        "Grid: learning rates from … to (how many) before it grew. A center with a source is a rate that it recommends, and was "
        "not found on these problems."
    )
    if any(info.center_source == CONFIG for info in plan.optimizers.values()):
        caption += " " + words(
            "How a center from the config was found, on these problems or elsewhere, is not recorded."
        )
    by_keras = [f"{name} ({info.by_keras})" for name, info in plan.optimizers.items() if info.by_keras]
    if by_keras:
        caption += " " + words(
            "Trained by Keras' own step on every problem, which is slower, because the compiled loop can't follow them: "
            "{optimizers}.",
            optimizers="; ".join(by_keras),
        )
    blocks.append(Table("optimizers", words("Optimizers"), headers, rows, caption, folded=True))
    return Section("models", words("Models and optimizers"), blocks)


def settings_words(hyperparameters: Mapping[str, Mapping[str, Any]]) -> str:
    """What is set, once if it is the same in every arm."""
    by_arm = {arm: ", ".join(f"{k}={v}" for k, v in values.items()) for arm, values in hyperparameters.items()}
    if len(set(by_arm.values())) <= 1:
        return next(iter(by_arm.values()), "")
    return "; ".join(f"{arm_cell(arm)}: {values or words('none')}" for arm, values in by_arm.items())


def grid_words(grid: Sequence[float | None]) -> str:
    """The grid in short: ``0.001 … 0.1 (5)``."""
    rates = [rate for rate in grid if rate is not None]
    return f"{number(min(rates))} … {number(max(rates))} ({len(rates)})" if rates else words("none")


def numbers(values: Sequence[int]) -> str:
    """A number, or the range where problems differ: ``5``, ``3–5``."""
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def center_words(info: PlannedOptimizer) -> str:
    """The center of the grid and who recommends it: ``0.001 (Kingma & Ba 2015, algorithm 1)``."""
    if info.center_learning_rate is None:
        return words("none")
    source = words(CENTER_SOURCES[info.center_source]) if info.center_source in CENTER_SOURCES else info.center_source
    return f"{number(info.center_learning_rate)} ({source})"


def protocol(evidence: Evidence) -> Section:
    """The rules in plain words, with the experiment's own numbers."""
    if not isinstance(evidence.plan, TrainingPlan):
        return imported_protocol(evidence)
    config = evidence.plan.config
    optimizers_of: dict[str, list[str]] = {}
    for name, info in evidence.plan.optimizers.items():
        optimizers_of.setdefault(info.tuned_schedule, []).append(name)
    fields = {
        "points": numbers([config.tuning_of(problem).points for problem in evidence.plan.problems]),
        "most_points": numbers([config.tuning_of(problem).most_points for problem in evidence.plan.problems]),
        "tuning": numbers([config.seeds_of(problem).tuning for problem in evidence.plan.problems]),
        "final": numbers([config.seeds_of(problem).final for problem in evidence.plan.problems]),
        "patience": config.patience,
        "looks": looks_words(evidence.plan),
        "schedules": "; ".join(f"{schedule} ({', '.join(names)})" for schedule, names in optimizers_of.items()),
        "noise": noise_words(evidence.plan),
    }
    left_out = {PATIENCE} if config.patience is None else set()
    left_out |= {LOOKS} if len(config.seeds.looks) == 1 else set()
    left_out |= {SCHEDULES, GRID, SELECTION} if Arm.TUNED not in config.arms else set()
    rules = [[words(rule), words(meaning, **fields)] for rule, meaning in RULES.items() if rule not in left_out]
    headers = [words("rule"), words("what it means")]
    blocks = [Table("rules", words("The rules of the comparison"), headers, rules), margin_table(evidence)]
    coverage = evidence.comparison.coverage
    if len(coverage):
        blocks.append(coverage_table(coverage))
    return Section("protocol", words("Protocol"), blocks)


def looks_words(plan: TrainingPlan) -> str:
    """The numbers of seeds of each look, with the problems that have them where not all have the same."""
    problems_with: dict[tuple[int, ...], list[str]] = {}
    for problem in plan.problems:
        problems_with.setdefault(tuple(plan.config.seeds_of(problem).looks), []).append(problem)
    numbers_of = {looks: joined([str(number) for number in looks]) for looks in problems_with}
    if len(numbers_of) == 1:
        return next(iter(numbers_of.values()))
    return "; ".join(f"{numbers_of[looks]} ({', '.join(names)})" for looks, names in problems_with.items())


def noise_words(plan: TrainingPlan) -> str:
    """Whether the tuned intervals hold the noise of tuning."""
    blind = unmeasured_tuning(plan)
    if len(blind) == len(plan.problems):
        return words(NOISE_OUT)
    return words(NOISE_OUT_ON, problems=joined(blind)) if blind else words(NOISE_IN)


def margin_table(evidence: Evidence) -> Table:
    """Each problem's margin, its reason, and what remains of its intervals however many seeds there are."""
    contrasts = evidence.comparison.contrasts
    primary = contrasts[contrasts["declared"] == PRIMARY]
    rows = []
    for name, info in evidence.plan.problems.items():
        assert isinstance(info, PlannedProblem)
        floors = [
            number(primary.loc[(primary["problem"] == name) & (primary["arm"] == arm), "floor"].max())
            for arm in evidence.plan.config.arms
        ]
        rows.append([name, number(info.margin), words(info.margin_reason) if info.margin_reason else "", *floors])
    headers = [words("problem"), words("margin"), words("why"), *map(arm_cell, evidence.plan.config.arms)]
    caption = words(
        "The last columns: half of the widest corrected interval of a primary contrast that would remain with any number of "
        "seeds, because the test examples and the tuning seeds are as many as they are. Where it is wider than the margin, no "
        "number of seeds shows that a difference is negligible."
    )
    return Table("margins", words("Margins"), headers, rows, caption)


def coverage_table(coverage: pd.DataFrame) -> Table:
    """How often intervals contain the true difference in simulations, by the distribution of the differences."""
    rows = [
        [
            words(DIFFERENCES[row["differences"]]),
            words(SHAPES[bool(row["symmetric"])]),
            f"{row['coverage']:.1%} ± {row['standard_error']:.1%}",
        ]
        for row in coverage.to_dict("records")
    ]
    first = coverage.iloc[0]
    caption = words(
        "Share of 95 % intervals that contain the true difference, and its standard error, in {trials:,} simulated comparisons "
        "with n = {n} pairs of seeds and {examples:,} test examples. The shortfall from 95 % under skew is how much the "
        "intervals on this page overpromise.",
        trials=int(first["trials"]),
        n=int(first["n"]),
        examples=int(first["examples"]),
    )
    title = words(
        "Intervals contain the true value in {least:.1%} to {most:.1%} of simulations",
        least=coverage["coverage"].min(),
        most=coverage["coverage"].max(),
    )
    headers = [words("seeds' differences"), words("shape"), words("coverage")]
    return Table("coverage", title, headers, rows, caption, coverage)


def provenance(evidence: Evidence) -> Section:
    """Versions, data, configuration, and the command that reproduces the page."""
    plan = evidence.plan
    if not isinstance(plan, TrainingPlan):
        return imported_provenance(evidence)
    experiment = plan.config.experiment
    rows = [[name, version] for name, version in plan.versions.items()]
    for name, problem_info in plan.problems.items():
        rows += [
            [words("{problem}: data (sha256)", problem=name), problem_info.data_hash],
            [words("{problem}: device, mode", problem=name), f"{problem_info.device}, {problem_info.mode}"],
        ]
    first = next(iter(evidence.comparison.scores["run_id"]), "")
    tag = words("descentlab.run_id, for example {example}", example=f"descentlab.run_id = '{first}'")
    rows += [[words("MLflow experiment"), experiment], [words("MLflow tag of a run"), tag]]
    # Where the runs are tracked changes nothing on the page, and its address may contain a password.
    plain = plan.config.model_dump(mode="json", exclude_defaults=True, exclude={"tracking"})
    again = words(
        "To make this page again: save this as experiment.yaml, then run {command}",
        command="snakemake --cores all --configfile experiment.yaml",
    )
    return Section(
        "provenance",
        words("Provenance"),
        [
            Table("versions", words("Versions, data, tracking"), [words("what"), words("value")], rows),
            Paragraph(again),
            Paragraph(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), preformatted=True),
        ],
    )
