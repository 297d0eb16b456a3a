"""Screenshots of MLflow's UI for docs/mlflow.md, from a store that an experiment was tracked in.

``python docs/pictures/screenshots.py results/mlflow.db`` starts MLflow's UI on a free port, opens it in a headless Chromium
(Debian's or the reader's own; none is downloaded), and writes three PNGs beside this file, or into ``--output``:

- ``mlflow-curves.png``: the mean curves of two optimizers with their intervals;
- ``mlflow-learning-rates.png``: the learning rates that an optimizer was tuned over, best first;
- ``mlflow-report.png``: the report, opened as an artifact.

Each is a view or a link of the experiment's description. What must be seen is waited for, so a UI that no longer shows it
fails with the text that is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from descentlab.tracking.links import link_artifact, link_view
from descentlab.tracking.parent_runs import KIND
from descentlab.tracking.saved_views import view_name

FOLDER = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WINDOW = {"width": 1280, "height": 820}
PATIENCE = 60  # seconds for the server, and for each page
SETTLED = 1500  # milliseconds: a chart is animated
COLORS = 128  # of a PNG: a UI needs no more
# A reader has chosen "Model training" and closed the assistant.
CHOICES = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
}


@contextlib.contextmanager
def serve_ui(store: Path) -> Iterator[str]:
    """MLflow's UI on a free port of this machine; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{store.resolve()}"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        wait_for(f"{address}health")
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def wait_for(address: str) -> None:
    """Return when the address answers."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        sys.exit(f"a browser must be on the PATH; none of {', '.join(BROWSERS)} is (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(1000 * PATIENCE)
        for name, value in CHOICES.items():
            page.add_init_script(f"localStorage.setItem({name!r}, {value!r})")
        try:
            yield page
        finally:
            browser.close()


def take_screenshots(store: Path, experiment: str, problem: str, output: Path) -> list[Path]:
    """Write the three PNGs.

    Args:
        store: the database.
        experiment: its name.
        problem: whose views are shown.
        output: folder.

    Returns:
        The files.
    """
    client = MlflowClient(f"sqlite:///{store.resolve()}")
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = ", ".join(one.name for one in client.search_experiments())
        sys.exit(f"{store} must hold the experiment; received '{experiment}'. It holds: {names or 'none'}")
    number = found.experiment_id
    (report,) = client.search_runs([number], f"tags.`{KIND}` = 'report'")
    files = [output / f"mlflow-{name}.png" for name in ("curves", "learning-rates", "report")]
    with serve_ui(store) as address, open_browser() as page:
        page.goto(address + link_view(number, view_name("pair", problem), charts=True))
        page.locator("svg.main-svg .scatterlayer .trace").first.wait_for()
        save(page, files[0])
        page.goto(address + link_view(number, view_name("rates", problem)))
        page.get_by_text("Group: ").first.wait_for()
        save(page, files[1])
        page.goto(address + link_artifact(number, report.info.run_id, "index.html"))
        page.frame_locator("iframe").locator("h1").first.wait_for()
        save(page, files[2])
    return files


def save(page: Any, file: Path) -> None:
    """Write what the page shows as a PNG of few colors, a fifth the size."""
    from PIL import Image

    banner = page.get_by_role("button", name="Hide banner")
    if banner.is_visible():
        banner.click()
    page.add_style_tag(content="[title^='file:'] {visibility: hidden}")  # a path of this machine
    page.wait_for_timeout(SETTLED)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").quantize(COLORS).save(file, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Take them, and say what was written."""
    parser = argparse.ArgumentParser(description="screenshots of MLflow's UI for docs/mlflow.md")
    parser.add_argument("store", type=Path, help="results/mlflow.db")
    parser.add_argument("--experiment", default="default")
    parser.add_argument("--problem", default="mlp")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    for file in take_screenshots(options.store, options.experiment, options.problem, options.output):
        print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
