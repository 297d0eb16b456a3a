"""Tables with declared columns, stored as Parquet files and checked both when written and when read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from descentlab.storage.atomic import written_aside

CONTENT_DIGEST = b"descentlab.sha256"  # key in the footer of a parquet file
DIGESTED_ROWS = 100_000  # rows of text converted at a time: as Python strings they take several times the memory


class TableError(ValueError):
    """A table lacks the columns that its stage declares, or its file was damaged after it was written."""


@dataclass(frozen=True)
class Column:
    """One column of a table: pandas dtype, unit, which direction is better, meaning."""

    dtype: str
    unit: str
    better: str
    meaning: str


def check_table(table: pd.DataFrame, columns: dict[str, Column], where: str) -> pd.DataFrame:
    """Return ``table`` with exactly the declared columns, in their order and types.

    Raises:
        TableError: a column is missing, unknown, or can't be read as its type.

    Example:
        >>> columns = {"run": Column("str", "", "", "which run"), "loss": Column("float64", "loss", "lower", "at the end")}
        >>> check_table(pd.DataFrame({"loss": [1, 2], "run": ["a", "b"]}), columns, "here")
          run  loss
        0   a   1.0
        1   b   2.0
        >>> check_table(pd.DataFrame({"run": ["a"]}), columns, "here")
        Traceback (most recent call last):
        descentlab.storage.tables.TableError: here: not the declared columns; missing: ['loss'], unknown: none; ...
    """
    missing = [name for name in columns if name not in table.columns]
    unknown = [name for name in table.columns if name not in columns]
    if missing or unknown:
        raise TableError(
            f"{where}: not the declared columns; missing: {missing or 'none'}, unknown: "
            f"{unknown or 'none'}; declared: {list(columns)}"
        )
    checked = table[list(columns)].copy()
    for name, column in columns.items():
        try:
            checked[name] = checked[name].astype(column.dtype)
        except (TypeError, ValueError) as error:
            raise TableError(f"{where}: column '{name}' can't be read as {column.dtype}: {error}") from error
    return checked


def empty_table(columns: dict[str, Column]) -> pd.DataFrame:
    """A table without rows that has the declared columns and types."""
    return pd.DataFrame({name: pd.Series(dtype=column.dtype) for name, column in columns.items()})


def write_table(table: pd.DataFrame, columns: dict[str, Column], path: Path) -> None:
    """Check ``table`` and write it as parquet, atomically."""
    write_parquet(check_table(table, columns, str(path)), path)


def read_table(path: Path, columns: dict[str, Column]) -> pd.DataFrame:
    """Read a parquet table and check it against its declared columns and the digest that it was written with.

    Raises:
        TableError: the file is damaged, or it has other columns.
    """
    return check_table(read_parquet(path), columns, str(path))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, with the digest of its values."""
    import pyarrow
    from pyarrow import parquet

    arrow_table = pyarrow.Table.from_pandas(table, preserve_index=False)
    # The digest is of what a reader will get, so it is taken after the conversion.
    digest = content_digest(arrow_table.to_pandas())
    metadata = {**(arrow_table.schema.metadata or {}), CONTENT_DIGEST: digest.encode()}
    with written_aside(path) as temporary:
        parquet.write_table(arrow_table.replace_schema_metadata(metadata), temporary)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table, checking every value of one that :func:`write_parquet` wrote against its digest.

    Raises:
        TableError: the file is damaged.
        FileNotFoundError: there is no such file.
    """
    from pyarrow import parquet

    try:
        # In two steps: damaged bytes can yield an Arrow table that pandas rejects with any error.
        stored = parquet.read_table(path)
        table: pd.DataFrame = stored.to_pandas()
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow raises half a dozen types for damaged bytes
        reason = " ".join(str(error).split())
        raise TableError(_describe_damage(path, f"{type(error).__name__}: {reason[:200]}")) from error
    expected = (stored.schema.metadata or {}).get(CONTENT_DIGEST)
    if expected is not None and expected.decode(errors="replace") != content_digest(table):
        raise TableError(_describe_damage(path, "its values do not match its sha256"))
    return table


def _describe_damage(path: Path, reason: str) -> str:
    return f"{path}: damaged ({reason}); delete it and run the same command again: finished runs come from the cache"


def content_digest(table: pd.DataFrame) -> str:
    """sha256 of a table's column names, types and values; all NaN count as equal, as parquet has only one.

    Example:
        >>> content_digest(pd.DataFrame({"loss": [1.0]})) == content_digest(pd.DataFrame({"loss": [1]}))  # another type
        False
    """
    digest = hashlib.sha256()
    for name in table:
        column = table[name]
        digest.update(f"{name}\0{column.dtype}\0".encode())
        if column.dtype.kind == "f":
            column = column.where(column.notna())
        if column.dtype.kind in "fiub":
            digest.update(column.to_numpy().tobytes())
        else:
            texts = column.fillna("")
            for begin in range(0, len(texts), DIGESTED_ROWS):
                part = "\0".join(map(str, texts.iloc[begin : begin + DIGESTED_ROWS]))
                digest.update(f"{chr(0) if begin else ''}{part}".encode())
    return digest.hexdigest()
