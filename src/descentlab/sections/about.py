"""What was trained, by which rules, and how to do it again."""

from __future__ import annotations

from typing import Any

import pandas as pd
import yaml

from descentlab.config import Config
from descentlab.sections.blocks import Evidence, Paragraph, Section, Table, number


def models(evidence: Evidence) -> Section:
    """Each problem's layers, as Keras prints them, and how the parameters add up."""
    blocks: list[Any] = []
    for name, about in evidence.plan["problems"].items():
        rows = [
            [layer["name"], layer["type"], layer["output_shape"], f"{layer['parameters']:,}"]
            for layer in about["layers"]
        ]
        rows.append(["total", "", "", f"{about['parameters']:,}"])
        caption = (
            f"{about['title']}. {about['count']}{'. ' if about['count'] else ''}{about['train_examples']:,} training, "
            f"{about['val_examples']:,} validation, {about['test_examples']:,} test examples; batches of "
            f"{about['batch_size']}, {about['epochs']} epochs; metric {evidence.metric(name)}, margin "
            f"{number(about['margin'])}; compiled as {about['mode']}."
        )
        title = f"{name}: {about['parameters']:,} parameters"
        blocks.append(Table(f"model-{name}", title, ["layer", "type", "output shape", "parameters"], rows, caption,
                            numeric=frozenset({3})))  # fmt: skip
    rows = [
        [name, about["factory"], ", ".join(f"{k}={v}" for k, v in next(iter(about["hyperparameters"].values())).items()),
         number(float("nan") if about["default_learning_rate"] is None else about["default_learning_rate"]),
         grid_words(about["grid"]), about["paper"]]
        for name, about in evidence.plan["optimizers"].items()
    ]  # fmt: skip
    headers = ["optimizer", "class", "set", "default rate", "grid", "source"]
    blocks.append(
        Table("optimizers", "Optimizers", headers, rows, "Keras' defaults where nothing is set.", folded=True)
    )
    return Section("models", "Models and optimizers", blocks)


def grid_words(grid: list[float | None]) -> str:
    """``0.001 … 0.1 (5)``."""
    rates = [rate for rate in grid if rate is not None]
    return f"{number(min(rates))} … {number(max(rates))} ({len(rates)})" if rates else "none"


def protocol(evidence: Evidence) -> Section:
    """The rules in plain words, with the experiment's own numbers."""
    config = Config.model_validate(evidence.plan["config"])
    seeds = config.seeds
    rules = [
        ["Arms", "Default (Keras' own learning rate, constant) and tuned (best of a grid, decayed linearly to zero; "
                 "Ftrl's constant, as it scales the weights themselves) answer different questions; they are never mixed in "
                 "one ranking."],
        ["Grid", f"{config.tuning.points} learning rates, half a decade apart, and {seeds.tuning} tuning seeds: the same "
                 "number of tuning runs for every optimizer. The centre is the optimizer's usual rate."],
        ["Selection", "By the mean validation metric of the tuning seeds, written to a file before a final run starts. "
                      "Tuning runs are given data whose test targets are zeroed."],
        ["Seeds", f"{seeds.final} final seeds, disjoint from the tuning seeds. A seed redraws weights, split into training "
                  "and validation, data order and dropout, each from a stream of its own."],
        ["Pairing", "One seed means the same initial weights, split and batches for every optimizer; runs whose hashes differ "
                    "are refused as a pair."],
        ["Test split", "Canonical, or drawn once: the same for all seeds and optimizers."],
        ["Full batch", "gd has as many examples as the others, gd_equal_updates as many updates."],
        ["Divergence", "A loss that is not finite or above its bound is a result, the worst possible: it stays as a row and "
                       "is never averaged away."],
        ["Verdicts", "Whole corrected interval inside the margin: negligible; above 0: better; below 0: worse; else "
                     "inconclusive. Student's t over seeds and test examples, both drawn at random; Holm over the problems of a "
                     "contrast. Where one side alone diverged on a seed, it lost that seed, and the sign test judges."],
        ["Seconds", "Updates times the cost of a step, which is measured serially with nothing beside it. Where it wasn't "
                    "measured, wall time of the updates with other jobs beside them, which compares roughly."],
        ["Limits", "What is found holds on these problems, at these sizes and budgets. Seeds redraw training and validation from "
                   "one pool and share its test split, so intervals hold for that pool."],
    ]  # fmt: skip
    blocks: list[Any] = [Table("rules", "The rules of the comparison", ["rule", "what it means"], rules)]
    coverage = evidence.comparison.coverage
    if len(coverage):
        blocks.append(coverage_table(coverage))
    return Section("protocol", "Protocol", blocks)


def coverage_table(coverage: pd.DataFrame) -> Table:
    """How often the intervals hold the truth, by the shape of the differences."""
    rows = [
        [row["differences"], "symmetric" if row["symmetric"] else "skewed",
         f"{row['coverage']:.1%} ± {row['standard_error']:.1%}"]
        for row in coverage.to_dict("records")
    ]  # fmt: skip
    first = coverage.iloc[0]
    caption = (
        f"Share of 95 % intervals that hold the true difference, and its standard error, in {first['trials']:,} simulated "
        f"comparisons with n = {first['n']} pairs of seeds and {first['examples']:,} test examples. What falls short of 95 % "
        "under skew is what the intervals of this page promise too much."
    )
    title = f"Intervals hold the truth in {coverage['coverage'].min():.1%} to {coverage['coverage'].max():.1%} of simulations"
    return Table("coverage", title, ["seeds' differences", "shape", "coverage"], rows, caption, coverage)


def provenance(evidence: Evidence) -> Section:
    """Versions, data, config, and the commands that make this page again."""
    plan = evidence.plan
    experiment = plan["config"]["experiment"]
    rows = [[name, version] for name, version in plan["versions"].items()]
    for name, about in plan["problems"].items():
        rows += [
            [f"{name}: data (sha256)", about["data_hash"]],
            [f"{name}: device, mode", f"{about['device']}, {about['mode']}"],
        ]
    rows += [
        ["MLflow experiment", experiment],
        ["MLflow tag of a run", "descentlab.run_id, for example "
         f"descentlab.run_id = '{next(iter(evidence.comparison.scores['run_id']), '')}'"],
    ]  # fmt: skip
    plain = Config.model_validate(plan["config"]).model_dump(mode="json", exclude_defaults=True)
    return Section(
        "provenance",
        "Provenance",
        [
            Table("versions", "Versions, data, tracking", ["what", "value"], rows),
            Paragraph("The same page again: save this as experiment.yaml, then "
                      "snakemake --cores all --configfile experiment.yaml"),
            Paragraph(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), preformatted=True),
        ],
    )  # fmt: skip
