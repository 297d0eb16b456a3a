"""Files that are written whole or not at all, so that a reader never meets half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteError(OSError):
    """A file could not be written; the message says which, why, and how much space there is."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; rename it to ``path`` when the block ends well.

    So a reader never meets half a file, whenever the writer is killed or the disk is full.

    Raises:
        WriteError: the file can't be written.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        aside = Path(name)
        yield aside
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as error:
        raise WriteError(_unwritten(path, aside, error)) from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def _unwritten(path: Path, aside: Path | None, error: OSError) -> str:
    """What could not be written, why, where, and how much space there is."""
    written = aside.stat().st_size if aside is not None and aside.exists() else 0
    folder = next(parent for parent in path.parents if parent.is_dir())
    return (
        f"{path}: can't be written; {error.strerror or error}, after {written:,} bytes, with "
        f"{shutil.disk_usage(folder).free:,} bytes free. Nothing of it is kept; run the same command again when it can be"
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
