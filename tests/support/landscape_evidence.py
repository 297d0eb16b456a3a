"""Hand-made ends and paths of descents in landscapes, as the report's section of them reads them."""

from __future__ import annotations

import base64
import gzip
import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd

from descentlab.analysis.comparison import Comparison
from descentlab.measurements.landscape_functions import LANDSCAPES
from descentlab.measurements.landscapes import LANDSCAPE_COLUMNS, TRAJECTORY_COLUMNS
from descentlab.report.blocks import Figure
from descentlab.report.sections import Evidence
from descentlab.report.sections.landscapes import landscapes
from descentlab.storage.tables import check_table
from support.comparison_fixture import generated_plan
from support.report_evidence import found

STARTS = 200
WELL, VALLEYS = "double_well", ("quadratic", "rotated_quadratic")
Paths = dict[str, list[tuple[float, float]]]


def end_rows(landscape: str, optimizer: str, inside: int = STARTS, **values: Any) -> pd.DataFrame:
    """Rows of LANDSCAPE_COLUMNS: the first ``inside`` of 200 starts end in the global basin, the first 100 begin there."""
    start = np.arange(STARTS)
    flat = LANDSCAPES[landscape].dimension == 1
    row: dict[str, Any] = {
        "landscape": landscape,
        "spurious": LANDSCAPES[landscape].spurious,
        "optimizer": optimizer,
        "start": start,
        "learning_rate": 0.1,
        "updates": 1000,
        "start_x": 0.0,
        "start_y": np.nan if flat else 0.0,
        "start_global": start < 100,
        "end_x": 0.0,
        "end_y": np.nan if flat else 0.0,
        "value": 0.5,
        "global_basin": start < inside,
        "same_rate_basin": start < 30,
        "constant_learning_rate": 0.1,
        "constant_rate_basin": start < 60,
    }
    return pd.DataFrame(row | values)


def path_rows(landscape: str, optimizer: str, points: list[tuple[float, float]]) -> pd.DataFrame:
    """Rows of TRAJECTORY_COLUMNS, one an update; y is ignored in one dimension."""
    known = LANDSCAPES[landscape]
    places = np.array(points, dtype=np.float64)
    return pd.DataFrame(
        {
            "landscape": landscape,
            "optimizer": optimizer,
            "start": -1,
            "update": np.arange(len(points)),
            "x": places[:, 0],
            "y": np.nan if known.dimension == 1 else places[:, 1],
            "value": known.above_minimum(places[:, : known.dimension]),
        }
    )


CROSSES, STAYS = [(1.7, 0.0), (0.5, 0.0), (-0.4, 0.0), (-1.0, 0.0)], [(1.7, 0.0), (1.2, 0.0), (1.0, 0.0), (0.96, 0.0)]
DOWN, HALFWAY = [(-1.8, 1.2), (-0.5, 0.1), (0.0, 0.0)], [(-1.8, 1.2), (-1.5, 0.1), (-1.0, 0.0)]


def evidence(ends: list[pd.DataFrame], paths: list[pd.DataFrame]) -> Evidence:
    measured = {
        "landscapes": check_table(pd.concat(ends), LANDSCAPE_COLUMNS, "hand-made"),
        "trajectories": check_table(pd.concat(paths), TRAJECTORY_COLUMNS, "hand-made"),
    }
    return Evidence(generated_plan(), cast(Comparison, SimpleNamespace()), [], measured)


def hills(momentum: int = 150, sgd: int = 50, paths: Paths | None = None) -> Evidence:
    ways = {"momentum": CROSSES, "sgd": STAYS} | (paths or {})
    return evidence(
        [end_rows(WELL, "sgd", sgd), end_rows(WELL, "momentum", momentum)],
        [path_rows(WELL, name, way) for name, way in ways.items()],
    )


def valleys(**medians: float) -> Evidence:
    return evidence(
        [end_rows(name, optimizer, value=value) for name in VALLEYS for optimizer, value in medians.items()],
        [
            path_rows(name, optimizer, HALFWAY if optimizer == "sgd" else DOWN)
            for name in VALLEYS
            for optimizer in medians
        ],
    )


def figure(evidence: Evidence, identity: str) -> Figure:
    (block,) = [b for b in found(landscapes(evidence)).blocks if isinstance(b, Figure) and b.identity == identity]
    return block


def data_of(block: Figure) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(block.csv))))
