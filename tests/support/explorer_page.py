"""The report's explorer alone on a page, opened in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from descentlab.report.environment import page_environment
from descentlab.report.sections import Evidence
from support.explorer_block import block_of

PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Explorer</title>
<style>{% include "report.css" %}{% include "explorer.css" %}</style><main>{% include "explorer.html" %}</main>"""


def write_page(evidence: Evidence, path: Path) -> Path:
    path.write_text(page_environment().from_string(PAGE).render(block=block_of(evidence)), encoding="utf-8")
    return path


class Opened:
    """A page of the explorer alone, opened from its file, with what it asked for and what went wrong."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1000, "height": 900}, **options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.goto(path.as_uri())

    def stands(self) -> Opened:
        self.page.wait_for_selector(".explorer.ready .chart svg", timeout=20_000)
        return self

    def said(self) -> str:
        return str(self.page.text_content(".said"))

    def select(self, *names: str) -> None:
        self.page.click("button[name=none]")
        for name in names:
            self.page.check(f".grid label:has-text('{name}') input")

    def marks(self, kind: str) -> int:
        return int(
            self.page.locator(
                f".chart:not(.difference) .mark-{kind} path, .chart:not(.difference) .mark-{kind} text"
            ).count()
        )
