"""The explorer: curves of the reader's choice, which Vega-Lite draws in the page from data inside it."""

from __future__ import annotations

import functools
import json
from typing import Any

from descentlab.analysis.statistics.intervals import critical_value
from descentlab.analysis.summary import CURVE_MEASURES
from descentlab.i18n.wording import counted, message, words
from descentlab.report.blocks import ARM_WORDS, Evidence, Explorer, Section, optimizer_title, packed
from descentlab.report.drawing import in_front
from descentlab.report.explorer_data import ExplorerData, collect_curves, script_json
from descentlab.report.formatting import with_direction
from descentlab.report.plotting import optimizer_color

TITLES = {
    "train_loss": message("training loss"),
    "val_loss": message("validation loss"),
    "val_metric": message("validation metric"),
}
AXES = {"updates": message("updates"), "examples": message("examples"), "seconds": message("seconds")}
FIRST_MEASURE = "val_loss"
# What the script writes; it fills in the fields.
MESSAGES = {
    "means": message(
        "{measure} on {problem}, {arm}, against {axis}: means of {optimizers} over up to n = {n} seeds, 95 % t intervals."
    ),
    "seeds": message("{measure} on {problem}, {arm}, against {axis}: {runs} of {optimizers}."),
    "nothing": message(
        "{measure} on {problem}, {arm}, against {axis}: nothing to draw. Choose an optimizer that has runs here."
    ),
    "lowest": message("Lowest mean at the end: {optimizer}, {value}."),
    "highest": message("Highest mean at the end: {optimizer}, {value}."),
    "difference": message("Paired difference at the end, {first} − {second}: {value} pairs of seeds; {better}."),
    "no_difference": message("{first} and {second} have no pair of seeds that both have a value at the end."),
    "no_runs": message("Paired differences need the individual runs, which are not among these results."),
    "above": message("above 0, {first} is better"),
    "below": message("below 0, {first} is better"),
    "one_lost": message("{n} pair is not counted: one of its runs has no value at the end."),
    "lost": message("{n} pairs are not counted: in each, a run has no value at the end."),
    "unpaired": message(
        "No difference is drawn before the end: the two were never evaluated at the same number of {axis}."
    ),
    "partly": message("The difference is drawn where both were evaluated at the same number of {axis}, up to {last}."),
    "pairs": message("mean over pairs of the same seed"),
    "t_interval": message("95 % t interval"),
    "one_optimizer": message("{n} optimizer"),
    "optimizers": message("{n} optimizers"),
    "one_run": message("{n} individual run"),
    "runs": message("{n} individual runs"),
    "unknown": message("unknown"),
    "no_interval": message("(no interval)"),
    "optimizer": message("optimizer"),
    "run": message("run"),
    "status": message("status"),
    "rate": message("initial learning rate"),
    "last": message("last {axis}"),
    "mean": message("mean [95 %]"),
    "value": message("value"),
    "finished": message("finished"),
    "diverged": message("diverged"),
    "failed": message("failed"),
    "missing": message("missing"),
}


def explorer(evidence: Evidence) -> Section | None:
    """Every curve of the final runs to choose from; None without curves."""
    curves = evidence.comparison.curves
    if curves.empty:
        return None
    problems = evidence.problems_in(curves)
    arms = evidence.arms_in(curves)
    optimizers = evidence.optimizers_in(curves)
    data = collect_curves(evidence.comparison, evidence.history, problems, arms, optimizers)
    front = set(in_front(optimizers))
    block = Explorer(
        identity="explorer-chart",
        takeaway=takeaway(data, problems, optimizers),
        caption=caption(evidence, data),
        problems=problems,
        arms=[words(ARM_WORDS[arm].rates) for arm in arms],
        optimizers=[(name, optimizer_color(name)) for name in optimizers],
        measures=[words(TITLES[measure]) for measure in CURVE_MEASURES],
        axes=[words(axis) for axis in known_axes(data).values()],
        chosen=frozenset(place for place, name in enumerate(optimizers) if name in front),
        first_measure=CURVE_MEASURES.index(FIRST_MEASURE),
        singles=data.runs > 0,
        setup=script_json(setup(evidence, data, problems, arms, optimizers)),
        data=packed(json.dumps(data.columns, ensure_ascii=False, allow_nan=False, separators=(",", ":"))),
        library=chart_library(),
    )
    return Section("explorer", words("Explorer"), [block])


def known_axes(data: ExplorerData) -> dict[str, str]:
    """The axes that have values: the cost of an update is unknown for externally logged runs."""
    means = data.columns["means"]
    return {column: title for column, title in AXES.items() if any(value is not None for value in means[column])}


def takeaway(data: ExplorerData, problems: list[str], optimizers: list[str]) -> str:
    """How much there is to choose from."""
    return words(
        "{curves} of {optimizers} on {problems}, to choose from",
        curves=counted(data.runs or len(data.columns["curves"]["rate"]), "{n} curve", "{n} curves"),
        optimizers=counted(len(optimizers), MESSAGES["one_optimizer"], MESSAGES["optimizers"]),
        problems=counted(len(problems), "{n} problem", "{n} problems"),
    )


def caption(evidence: Evidence, data: ExplorerData) -> str:
    """How to read the chart, and what was left out."""
    parts = [words("Means over up to n = {n} final seeds; bands are 95 % t intervals.", n=data.seeds)]
    if not data.runs:
        parts.append(words("Individual runs are not among these results."))
    elif data.evaluations_kept < data.evaluations:
        parts.append(
            words(
                "To keep the page small, individual runs keep up to {kept} of their {all} evaluations, spaced evenly in the "
                "logarithm of the updates; means keep all.",
                kept=data.evaluations_kept,
                all=data.evaluations,
            )
        )
    measured = bool(evidence.comparison.curves["seconds"].notna().any())
    parts.append(
        words("Seconds are updates times the cost of a step, measured in isolation.")
        if measured
        else words("Seconds are the wall time of the updates alone, with other jobs running.")
    )
    parts.append(
        words(
            "Values have four significant digits. On a logarithmic axis the start, which has no place there, is drawn half a "
            "step left of the first evaluation, and differences are linear near 0; the most extreme values lie outside the "
            "frame."
        )
    )
    return " ".join(parts)


def setup(
    evidence: Evidence, data: ExplorerData, problems: list[str], arms: list[str], optimizers: list[str]
) -> dict[str, Any]:
    """What the script needs before it unpacks the data: charts, names in the order of the data's indices, words."""
    return {
        "charts": chart_specs(),
        "problems": [
            {
                "name": problem,
                "higher": [is_higher_better(evidence, problem, measure) for measure in CURVE_MEASURES],
                "measures": [measure_name(evidence, problem, measure) for measure in CURVE_MEASURES],
                "titles": [measure_title(evidence, problem, measure) for measure in CURVE_MEASURES],
            }
            for problem in problems
        ],
        "arms": [words(ARM_WORDS[arm].rates) for arm in arms],
        "optimizers": [
            {"name": name, "title": optimizer_title(name), "color": optimizer_color(name)} for name in optimizers
        ],
        "measures": list(CURVE_MEASURES),
        "axes": [{"column": column, "title": words(title)} for column, title in known_axes(data).items()],
        "quantiles": [round(float(critical_value(degrees)), 6) for degrees in range(1, max(2, data.seeds))],
        "words": {key: words(text) for key, text in MESSAGES.items()},
    }


def is_higher_better(evidence: Evidence, problem: str, measure: str) -> bool:
    """The measure's direction."""
    return measure == "val_metric" and evidence.plan.problems[problem].higher_is_better


def measure_name(evidence: Evidence, problem: str, measure: str) -> str:
    """The measure in a sentence; the metric goes by its own name."""
    if measure == "val_metric":
        return words("validation {metric}", metric=words(evidence.plan.problems[problem].metric))
    return words(TITLES[measure])


def measure_title(evidence: Evidence, problem: str, measure: str) -> str:
    """The measure with its direction."""
    return with_direction(measure_name(evidence, problem, measure), is_higher_better(evidence, problem, measure))


def chart_specs() -> dict[str, Any]:
    """Vega-Lite charts without data: ``means``, ``seeds`` and ``difference``.

    The script adds scales, axes and two data sets. ``rows`` has one entry per point of a line: ``x``, ``value``, ``low``,
    ``high``, the ``line`` it belongs to, its ``optimizer``'s index and ``color``. ``ends`` has one per name: ``text``, and
    ``end`` and ``place`` in pixels.
    """
    import altair as alt

    rows, ends = alt.NamedData(name="rows"), alt.NamedData(name="ends")
    x, y = alt.X("x:Q"), alt.Y("value:Q")
    color = alt.Color("color:N", scale=None)
    emphasized = alt.param(name="emphasized", value=-1)
    faint = alt.when("emphasized < 0 || datum.optimizer == emphasized").then(alt.value(1)).otherwise(alt.value(0.12))
    hover = alt.selection_point(name="hover", on="pointerover", clear="pointerout", nearest=True, empty=False)

    band = (
        alt.Chart(rows)
        .mark_area(clip=True, fillOpacity=0.15)
        .encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=color, detail="line:N", opacity=faint)
    )
    thin_line = (
        alt.Chart(rows)
        .mark_line(clip=True, strokeWidth=1.1, strokeOpacity=0.8)
        .encode(x=x, y=y, color=color, detail="line:N", opacity=faint)
    )
    line = thin_line.mark_line(clip=True, strokeWidth=2)
    points = (
        alt.Chart(rows, name="points")
        .mark_point(clip=True, filled=True, size=60, tooltip=alt.TooltipContent("data"))
        .encode(x=x, y=y, color=color, opacity=alt.when(hover).then(alt.value(1)).otherwise(alt.value(0)))
        .add_params(hover)
    )
    # In pixels of the frame: the script moves names apart that would overlap.
    beside = {"y": alt.Y("place:Q", scale=None, axis=None), "opacity": faint}
    leader = (
        alt.Chart(ends)
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.value(alt.expr("width + 3")),
            x2=alt.value(alt.expr("width + 15")),
            color=color,
            y=alt.Y("end:Q", scale=None, axis=None),
            y2="place:Q",
            opacity=faint,
        )
    )
    name = (
        alt.Chart(ends)
        .mark_text(align="left", baseline="middle", limit=alt.expr("padding.right - 22"))
        .encode(x=alt.value(alt.expr("width + 19")), text="text:N", **beside)
    )
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule().encode(y=alt.Y("zero:Q"))
    charts = {
        "means": alt.layer(band, line, points, leader, name),
        "seeds": alt.layer(thin_line, points, leader, name),
        "difference": alt.layer(zero, band, line, points),
    }
    specs = {}
    for key, chart in charts.items():
        spec = chart.add_params(emphasized).to_dict()
        specs[key] = {part: spec[part] for part in ("layer", "params")}
    return specs


@functools.cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one packed script that sets ``window.descentlabEmbed`` to ``vegaEmbed``."""
    import altair as alt
    import vl_convert

    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return packed(vl_convert.javascript_bundle("window.descentlabEmbed = vegaEmbed;", version))
