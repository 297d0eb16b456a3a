"""Files that are written atomically: a reader sees the whole file or none of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class WriteError(OSError):
    """A file could not be written; the message says which one, why, and how much disk space is free."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path next to ``path`` to write to, and rename it to ``path`` when the block succeeds.

    So a reader never sees half a file, even if the writer is killed or the disk fills up.

    Raises:
        WriteError: the file can't be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise WriteError(_describe_failure(path, temporary, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _describe_failure(path: Path, temporary: Path | None, error: OSError) -> str:
    """What could not be written, why, where, and how much space is free."""
    written = temporary.stat().st_size if temporary is not None and temporary.exists() else 0
    folder = next(parent for parent in path.parents if parent.is_dir())
    return (
        f"{path}: could not be written: {error.strerror or error}, after {written:,} bytes, with "
        f"{shutil.disk_usage(folder).free:,} bytes free. No part of it was kept; fix the cause and run the same command again"
    )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with written_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
