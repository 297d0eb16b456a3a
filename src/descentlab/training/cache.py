"""The run cache: finished runs by the digest of everything that decides them.

Deleting it is always safe; a damaged file counts as absent and its run is trained again. A file is an ``.npz`` archive
followed by the sha256 of the digest and the archive: the archive's own checksums do not cover its table of contents, where
one bit can drop a member unnoticed (``tests/training/test_cache.py`` flips one in every byte).
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descentlab.experiment.records import BESIDE, HISTORY
from descentlab.storage.atomic import written_aside
from descentlab.training.run_result import RunResult

RECORD, SCORES, WEIGHTS = "record", "scores", "weights"
CHECKSUM_BYTES = hashlib.sha256().digest_size


def cache_path(cache: Path, digest: str) -> Path:
    """Path of a run in the cache."""
    return cache / digest[:2] / f"{digest}.npz"


def store_result(cache: Path, digest: str, result: RunResult) -> None:
    """Store a finished run, atomically.

    Raises:
        WriteError: the file can't be written.
    """
    arrays: dict[str, Any] = {f"history.{name}": result.history[name].to_numpy() for name in result.history}
    beside = result.beside.reindex(columns=[name for name in BESIDE if name != "run_id"])
    arrays |= {f"beside.{name}": beside[name].to_numpy(BESIDE[name].dtype) for name in beside}
    arrays |= {f"{WEIGHTS}.{i:04d}": value for i, value in enumerate(result.weights)}
    arrays |= {RECORD: np.array(json.dumps(result.record)), SCORES: result.scores}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # in place: into memory
    archive = buffer.getvalue()
    with written_aside(cache_path(cache, digest)) as temporary:
        temporary.write_bytes(archive + _checksum(digest, archive))


def load_result(cache: Path, digest: str, say: Any) -> RunResult | None:
    """The run stored under ``digest``, or None; a file that can't be read is reported through ``say`` and ignored."""
    path = cache_path(cache, digest)
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        archive = content[:-CHECKSUM_BYTES]
        if content[-CHECKSUM_BYTES:] != _checksum(digest, archive):
            raise ValueError("its content does not match its sha256")
        with np.load(io.BytesIO(archive), allow_pickle=False) as stored:
            record = json.loads(str(stored[RECORD]))
            history, beside = (
                pd.DataFrame({name: stored[f"{table}.{name}"] for name in columns if name != "run_id"})
                for table, columns in (("history", HISTORY), ("beside", BESIDE))
            )
            weights = [stored[name] for name in sorted(stored) if name.startswith(f"{WEIGHTS}.")]
            return RunResult(record, history, stored[SCORES], weights, beside)
    except (OSError, KeyError, ValueError) as error:
        say(f"cache: {path} is damaged; the run will be trained again ({type(error).__name__}: {error})")
        return None


def _checksum(digest: str, archive: bytes) -> bytes:
    """sha256 of a digest and its archive, so that a file under another run's name counts as damaged."""
    return hashlib.sha256(digest.encode() + archive).digest()
