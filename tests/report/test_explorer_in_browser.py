"""The explorer in Chromium, without a network: the chart, and what the reader may choose."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from descentlab.analysis.statistics.intervals import t_interval
from descentlab.experiment.plan import TrainingPlan
from descentlab.report.formatting import interval, optimizer_title
from descentlab.report.phrases import ARM_WORDS
from descentlab.report.sections.explorer import AXES, MESSAGES, TITLES
from support.browser import launched
from support.comparison_fixture import SEEDS, with_names
from support.explorer_evidence import NAMES, evidence_with_history
from support.explorer_page import Opened, write_page
from support.report_evidence import changed

HOSTILE = {
    "adam": "</script><script>window.harmed = 1</script>",
    "sgd": "\"'<img src=x onerror=window.harmed=1>",
    "momentum": "50 % & 🦀",
    "rmsprop": "{{ 7 * 7 }} {n} ]]> \u2028 " + "long " * 56,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(evidence_with_history(), tmp_path_factory.mktemp("explorer") / "index.html")


@pytest.fixture
def opened(browser: Any, written: Path) -> Iterator[Opened]:
    opened = Opened(browser, written, offline=True).stands()
    yield opened
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert sum(url.startswith("file:") for url in opened.requests) == 1
    opened.context.close()


def heading(
    code: str,
    measure: str = TITLES["val_loss"],
    problem: str = "up",
    arm: str = "tuned",
    axis: str = "updates",
    optimizers: int = len(NAMES),
) -> str:
    """What is drawn, by the code of its message."""
    return MESSAGES[code].format(
        measure=measure.capitalize(),
        problem=problem,
        arm=ARM_WORDS[arm].rates,
        axis=AXES[axis],
        optimizers=MESSAGES["optimizers"].format(n=optimizers),
        n=SEEDS,
    )


def test_at_first_it_draws_the_named_optimizers_means(opened: Opened) -> None:
    lowest = MESSAGES["lowest"].format(optimizer=optimizer_title("adam"), value="")
    assert opened.said().startswith(f"{heading('means')} {lowest.removesuffix('.')}")
    names = opened.page.locator(".chart:not(.difference) .mark-text text").all_text_contents()
    assert set(NAMES) <= set(names)


def test_single_seeds_are_a_line_each_and_say_who_they_are_under_the_pointer(opened: Opened) -> None:
    opened.select("adam")
    opened.page.check("text='individual seeds'")
    assert opened.marks("line") == SEEDS
    box = opened.page.locator(".chart svg").first.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    opened.page.wait_for_selector(".tip:not([hidden])")
    tip = opened.page.locator(".tip div").all_text_contents()
    assert tip[0].startswith("up.adam.tuned.final.lr=0.01.seed=")
    assert tip[1].startswith(f"{TITLES['val_loss']}: 0.") and tip[2].startswith(f"{AXES['updates']}: ")
    assert tip[3] == f"{MESSAGES['rate']}: 0.01"
    opened.page.mouse.move(1, 1)
    opened.page.wait_for_selector(".tip", state="hidden")


def test_two_optimizers_show_their_paired_difference(opened: Opened) -> None:
    evidence = evidence_with_history()
    scores = evidence.comparison.scores
    mine = scores[(scores["problem"] == "up") & (scores["arm"] == "tuned")]
    ends = evidence.history[evidence.history["updates"] == 16].set_index("run_id")["val_loss"]
    by_seed = {
        name: ends.loc[mine.loc[mine["optimizer"] == name, "run_id"]].to_numpy() for name in ("momentum", "adam")
    }
    expected = t_interval(by_seed["momentum"] - by_seed["adam"])
    opened.select("momentum", "adam")
    opened.page.wait_for_selector(".chart.difference svg")
    shown = interval(expected.mean, expected.low, expected.high, expected.n, signed=True)
    first, second = (optimizer_title(name) for name in ("momentum", "adam"))
    better = MESSAGES["below"].format(first=first)
    assert MESSAGES["difference"].format(first=first, second=second, value=shown, better=better) in opened.said()
    assert opened.page.get_attribute(".chart.difference", "aria-label") in opened.said()
    with opened.page.expect_download() as download:
        opened.page.click(".below button[name=csv]")
    table = pd.read_csv(download.value.path())
    assert list(table)[2:] == ["first", "second", "updates", "val_loss_difference", "low", "high", "n"]
    np.testing.assert_allclose(
        table.iloc[-1][["val_loss_difference", "low", "high"]].astype(float),
        [expected.mean, expected.low, expected.high],
        atol=1e-5,
    )
    opened.select("adam")
    assert not opened.page.is_visible(".chart.difference")


def test_full_batch_descent_is_compared_where_both_were_evaluated(opened: Opened) -> None:
    opened.select("gd", "adam")
    assert MESSAGES["partly"].format(axis=AXES["updates"], last=4) in opened.said()
    opened.page.check("text='examples'")
    assert MESSAGES["partly"].partition("{")[0] not in opened.said()


def test_the_table_holds_the_last_values(opened: Opened) -> None:
    opened.page.click("summary")
    rows = opened.page.locator("table tbody tr").all_text_contents()
    assert len(rows) == len(NAMES) and rows[0].startswith("gd") and f"n = {SEEDS}" in rows[0]
    opened.page.check("text='individual seeds'")
    assert opened.page.locator("table tbody tr").count() == len(NAMES) * SEEDS
    assert opened.page.locator("table tbody th").first.text_content() == "up.gd.tuned.final.lr=0.01.seed=0"


def test_the_keyboard_reaches_every_choice(opened: Opened) -> None:
    page = opened.page
    page.focus("select[name=problem]")
    page.keyboard.press("ArrowDown")
    assert opened.said().startswith(heading("means", problem="down"))
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.tagName"))
    assert {
        "measure",
        "axis",
        "arm",
        "view",
        "log-x",
        "log-y",
        "first",
        "all",
        "none",
        "optimizer",
        "csv",
        "svg",
        "png",
        "SUMMARY",
    } <= reached
    page.focus("input[name=axis]:checked")
    page.keyboard.press("ArrowRight")
    assert opened.said().startswith(heading("means", problem="down", axis="examples"))
    page.focus("input[name=optimizer][value='0']")
    page.keyboard.press("Space")
    assert opened.said().startswith(heading("means", problem="down", axis="examples", optimizers=len(NAMES) - 1))


def test_scales_measures_and_axes_are_drawn_as_chosen(opened: Opened) -> None:
    page = opened.page
    labels = page.locator(".chart:not(.difference) .role-axis-label text")
    logarithmic = labels.all_text_contents()
    page.uncheck("input[name=log-x]")
    page.uncheck("input[name=log-y]")
    assert labels.all_text_contents() != logarithmic
    page.select_option("select[name=measure]", label="validation metric")
    assert not page.is_checked("input[name=log-y]")
    accuracy = "validation accuracy"
    assert opened.said().startswith(heading("means", measure=accuracy))
    page.check("text='default rates'")
    assert opened.said().startswith(heading("means", measure=accuracy, arm="default"))
    page.click("button[name=none]")
    assert (
        opened.said() == heading("nothing", measure=accuracy, arm="default") and page.locator(".chart svg").count() == 0
    )


def test_the_chart_follows_the_color_scheme_and_is_printed_light(browser: Any, written: Path) -> None:
    opened = Opened(browser, written, offline=True, color_scheme="light").stands()
    ink = "document.querySelector('.chart .mark-text text').getAttribute('fill')"
    light = opened.page.evaluate(ink)
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function(f"{ink} !== '{light}'")
    assert [light, opened.page.evaluate(ink)] == ["#1b1f24", "#e8eaed"]
    opened.page.emulate_media(media="print")
    opened.page.wait_for_function(f"{ink} === '{light}'")
    opened.context.close()


def test_the_line_of_a_name_that_is_pointed_at_stands_out(opened: Opened) -> None:
    lines = "[...document.querySelectorAll('.chart .mark-line path')].map(path => Number(path.getAttribute('opacity')))"
    opened.page.hover(".grid label:has-text('momentum')")
    opened.page.wait_for_function(f"{lines}.filter(opacity => opacity < 1).length === 4")
    opened.page.hover(".said")
    opened.page.wait_for_function(f"{lines}.every(opacity => opacity === 1)")


def test_downloads_are_made_without_a_network(opened: Opened) -> None:
    saved = {}
    for name in ("csv", "svg", "png"):
        with opened.page.expect_download() as download:
            opened.page.locator(f"button[name={name}]").first.click()
        saved[name] = Path(download.value.path()).read_bytes()
    table = pd.read_csv(io.BytesIO(saved["csv"]))
    assert list(table) == ["problem", "arm", "optimizer", "learning_rate", "updates", "val_loss", "low", "high", "n"]
    assert set(table["optimizer"]) == set(NAMES)
    assert saved["svg"].startswith(b"<svg") and saved["png"].startswith(b"\x89PNG")


def test_hostile_names_are_text(browser: Any, tmp_path: Path) -> None:
    good = evidence_with_history()
    comparison = good.comparison
    names = {**HOSTILE, "up": HOSTILE["rmsprop"]}
    tables = {
        name: getattr(comparison, name).replace({"optimizer": names, "problem": names})
        for name in ("curves", "summary", "scores")
    }
    assert isinstance(good.plan, TrainingPlan)
    hostile = dataclasses.replace(changed(good, **tables), plan=with_names(good.plan, names))
    opened = Opened(browser, write_page(hostile, tmp_path / "index.html"), offline=True).stands()
    assert opened.page.evaluate("window.harmed") is None
    assert opened.page.locator("img").count() == 0
    shown = opened.page.locator(".grid label span:last-child").all_text_contents()
    assert set(HOSTILE.values()) <= set(shown)
    opened.page.check("text='individual seeds'")
    opened.page.click("summary")
    opened.page.click("button[name=none]")
    opened.page.check(".grid label >> nth=3 >> input")
    opened.page.check("text='mean with interval'")
    assert opened.page.locator("table tbody th").all_text_contents() == [HOSTILE["adam"]]
    for width in (1000, 360):
        opened.page.set_viewport_size({"width": width, "height": 900})
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.errors == []
    opened.context.close()


def test_without_a_script_the_note_says_where_the_figures_are(browser: Any, written: Path) -> None:
    opened = Opened(browser, written, java_script_enabled=False)
    assert (
        opened.page.is_visible(".note") and not opened.page.is_visible("form") and not opened.page.is_visible(".drawn")
    )
    opened.context.close()


def test_nothing_is_unpacked_before_it_is_looked_at(browser: Any, written: Path, tmp_path: Path) -> None:
    text = written.read_text(encoding="utf-8")
    far = tmp_path / "index.html"
    far.write_text(text.replace("<main>", '<main><div style="height:9000px"></div>'), encoding="utf-8")
    opened = Opened(browser, far, offline=True)
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("window.descentlabEmbed") is None
    opened.page.evaluate("document.querySelector('.explorer').scrollIntoView()")
    opened.stands()
    assert opened.errors == []
    opened.context.close()
