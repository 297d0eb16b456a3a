"""``python -m benchmarks``: print one table of ratios and write ``results/bench.json``."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_against_fit import Case, Timing, compare_with_fit
from descentlab.device import configure_device
from descentlab.problems import builtin_problem
from descentlab.problems.base import Data

REPEATS = 5
OUTPUT = Path("results/bench.json")


def cpu_model() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def generated_images(examples: int) -> Data:
    """Images of MNIST's shape whose class can be learnt: ten fixed patterns under noise."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, examples).astype(np.int32)
    patterns = generator.random((10, 28, 28, 1), dtype=np.float32)
    noise = generator.random((examples, 28, 28, 1), dtype=np.float32)
    return Data(0.5 * patterns[labels] + 0.5 * noise, labels, test=np.arange(examples // 7))


def cases() -> list[Case]:
    """What ``make bench`` times; the goals are those of the project."""
    logistic, mlp, cnn = (builtin_problem(name) for name in ("logistic_regression", "mlp", "slides_cnn"))
    images = cnn.load_data(None) if os.environ.get("DESCENTLAB_DATA") else generated_images(8_000)
    return [
        Case(logistic, logistic.load_data(None), goal=100, fit_epochs=20, engine_epochs=1_000),
        Case(mlp, mlp.load_data(None), goal=25, fit_epochs=20, engine_epochs=200),
        Case(cnn, images, goal=1.8, fit_epochs=2, engine_epochs=2, train_examples=40 * cnn.batch_size),
    ]


def as_row(timing: Timing) -> dict[str, Any]:
    """A timing as a row of ``bench.json``: median ratio, least and greatest, the goal and whether it is met."""
    ratio = float(np.median(timing.ratios))
    return {
        "name": f"{timing.name}: engine against model.fit",
        "ratio": ratio,
        "low": float(timing.ratios.min()),
        "high": float(timing.ratios.max()),
        "n": len(timing.ratios),
        "goal": timing.goal,
        "met": ratio >= timing.goal,
        "mode": timing.mode,
        "updates_per_epoch": timing.updates_per_epoch,
        "fit_epochs": timing.fit_epochs,
        "engine_epochs": timing.engine_epochs,
        "fit_epoch_seconds": float(np.median(timing.fit_seconds)),
        "engine_epoch_seconds": float(np.median(timing.engine_seconds)),
        "fit_warm_up_seconds": timing.fit_warm_up_seconds,
        "engine_warm_up_seconds": timing.engine_warm_up_seconds,
        "validation_loss_difference": timing.loss_difference,
    }


def as_text(rows: list[dict[str, Any]], machine: str) -> str:
    """The rows as a table to read."""
    lines = [
        f"{'name':<46} {'ratio':>7} {'min-max':>15} {'n':>3} {'goal':>6} {'met':>4}   "
        "epoch: fit, engine (epochs timed)            warm-up: fit, engine"
    ]
    for row in rows:
        spread = f"{row['low']:.1f}-{row['high']:.1f}"
        lines.append(
            f"{row['name']:<46} {row['ratio']:>6.1f}x {spread:>15} {row['n']:>3} {row['goal']:>5g}x "
            f"{'yes' if row['met'] else 'no':>4}   "
            f"{1e3 * row['fit_epoch_seconds']:9.2f} ms ({row['fit_epochs']}), "
            f"{1e3 * row['engine_epoch_seconds']:8.2f} ms ({row['engine_epochs']})    "
            f"{row['fit_warm_up_seconds']:.1f} s, {row['engine_warm_up_seconds']:.1f} s"
        )
    lines.append(f"Median of alternating repeats, one thread each, warm-up not counted. Machine: {machine}.")
    return "\n".join(lines)


def main() -> None:
    """Time every case."""
    device = configure_device()
    if device != "CPU":
        raise SystemExit(
            f"benchmarks: these ratios are of one CPU thread; hide the GPU ({device}): CUDA_VISIBLE_DEVICES="
        )
    machine = f"{cpu_model()}, {os.cpu_count()} logical cores, {platform.system()}"
    begun = time.perf_counter()
    rows = []
    for case in cases():
        rows.append({**as_row(compare_with_fit(case, REPEATS)), "machine": machine})
    print(as_text(rows, machine))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"{time.perf_counter() - begun:.0f} s; written to {OUTPUT}")


if __name__ == "__main__":
    main()
