"""The report as a reader meets it: in Chromium, on a phone and a desk, light and dark, by keyboard, without a script."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from support.browser import DESK, PHONE, visit
from support.written_report import built

HOSTILE = """<script>alert('x')</script> "quoted" 100 % {{ 7 * 7 }} \U0001f600 """ + "long " * 60
SHOW_WHAT_IS_PRINTED = """window.print = () => {
    const parts = [...document.querySelectorAll("h1, h2, h3, p, table, svg.plot")].filter((it) => it.getClientRects().length);
    window.shown = parts.map((it) => it.closest("figure")?.id ?? it.outerHTML);
}"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    built(folder)
    return folder / "index.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    built(
        folder,
        about={"title": HOSTILE, "count": HOSTILE, "metric": HOSTILE},
        config={"report": {"title": HOSTILE, "reference": "momentum"}},
    )
    return folder / "index.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_it_opens_quietly_and_fits(report: Path, viewport: dict[str, int], scheme: Any) -> None:
    with visit(report, viewport, color_scheme=scheme) as seen:
        seen.page.wait_for_load_state("networkidle")
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        assert seen.page.evaluate(WIDE) == 0
        paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(255, 255, 255)")


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_what_others_wrote_is_text_and_fits(hostile: Path, viewport: dict[str, int]) -> None:
    with visit(hostile, viewport) as seen:
        assert seen.page.locator("h1").inner_text().strip() == " ".join(HOSTILE.split())
        assert seen.page.evaluate(WIDE) == 0
        assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(report: Path, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with visit(report, color_scheme=scheme) as seen:
        found = Axe().run(seen.page).response["violations"]
        serious = {
            rule["id"]: [node["html"][:200] for node in rule["nodes"][:3]]
            for rule in found
            if rule["impact"] in ("serious", "critical")
        }
        assert serious == {}


def test_the_contents_follow_the_reader(report: Path) -> None:
    with visit(report) as seen:
        for section in ("test-metric", "provenance", "answer"):
            seen.page.evaluate(f"document.getElementById('{section}').scrollIntoView({{behavior: 'instant'}})")
            seen.page.wait_for_selector(f"nav a[href='#{section}'][aria-current]", timeout=3000)
            assert seen.page.locator("nav a[aria-current]").count() == 1


def test_figures_and_data_can_be_taken_away(report: Path) -> None:
    with visit(report) as seen:
        figure = seen.page.locator("figure#answer-tuned")

        def taken(kind: str) -> str:
            with seen.page.expect_download() as download:
                figure.locator(f"button[data-as={kind}]").click()
            assert download.value.suggested_filename == f"answer-tuned.{kind}"
            return Path(download.value.path()).read_text(encoding="utf-8")

        rows = list(csv.DictReader(io.StringIO(taken("csv"))))
        assert {row["first"] for row in rows} == {"sgd", "adam", "rmsprop"}
        svg = taken("svg")
        assert svg.startswith("<svg") and "--rule:#d5dae0" in svg


def test_a_figure_alone_can_be_printed_to_pdf(report: Path) -> None:
    with visit(report) as seen:
        page = seen.page
        page.emulate_media(media="print")
        page.evaluate(SHOW_WHAT_IS_PRINTED)
        page.evaluate("document.querySelector('#test-metric-up button[data-as=pdf]').click()")
        assert set(page.evaluate("window.shown")) == {"test-metric-up"}
        assert page.locator("figure:visible").count() > 5


def test_the_keyboard_reaches_everything(report: Path) -> None:
    with visit(report) as seen:
        seen.page.keyboard.press("Tab")
        skip = seen.page.evaluate("document.activeElement.getBoundingClientRect().left")
        assert seen.page.evaluate("document.activeElement.className") == "skip" and skip >= 0
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("location.hash") == "#answer"
        reached = set()
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            reached.add(seen.page.evaluate("document.activeElement.tagName"))
        assert {"A", "BUTTON", "DIV"} <= reached


def test_without_a_script_the_figures_remain(report: Path) -> None:
    with visit(report, java_script_enabled=False) as seen:
        page = seen.page
        assert page.locator("svg.plot:visible").count() >= 8
        assert page.locator("button.download:visible").count() == 0


def test_it_prints_page_by_page(report: Path) -> None:
    with visit(report) as seen:
        printed = seen.page.pdf(format="A4")
        assert printed.startswith(b"%PDF-")
        seen.page.emulate_media(media="print")
        assert seen.page.locator("nav").is_hidden()
        assert seen.page.locator(".download:visible").count() == 0
