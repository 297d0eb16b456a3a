"""Tables with declared columns as Parquet files: checked when they are written and when they are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from descentlab.storage.atomic import written_aside

CONTENT_DIGEST = b"descentlab.sha256"  # in the footer of a parquet file
DIGESTED_ROWS = 100_000  # texts of a column that are Python's at a time: they take several times what the column does


class TableError(ValueError):
    """A table does not have the columns that its stage promised, or its file is not as it was written."""


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
        descentlab.storage.tables.TableError: here: a table must have the declared columns; missing: ['loss'], unknown: none; ...
    """
    missing = [name for name in columns if name not in table.columns]
    unknown = [name for name in table.columns if name not in columns]
    if missing or unknown:
        raise TableError(
            f"{where}: a table must have the declared columns; missing: {missing or 'none'}, unknown: "
            f"{unknown or 'none'}; valid: {list(columns)}"
        )
    checked = table[list(columns)].copy()
    for name, column in columns.items():
        try:
            checked[name] = checked[name].astype(column.dtype)
        except (TypeError, ValueError) as error:
            raise TableError(f"{where}: column '{name}' must be {column.dtype}; {error}") from error
    return checked


def empty_table(columns: dict[str, Column]) -> pd.DataFrame:
    """A table of no rows with the declared columns and types."""
    return pd.DataFrame({name: pd.Series(dtype=column.dtype) for name, column in columns.items()})


def write_table(table: pd.DataFrame, columns: dict[str, Column], path: Path) -> None:
    """Check ``table`` and write it as parquet, whole or not at all."""
    write_parquet(check_table(table, columns, str(path)), path)


def read_table(path: Path, columns: dict[str, Column]) -> pd.DataFrame:
    """Read a parquet table and hold it to its declared columns and to the digest that it was written with.

    Raises:
        TableError: the file is damaged, or its columns are others.
    """
    return check_table(read_parquet(path), columns, str(path))


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all, with the digest of its values."""
    import pyarrow
    from pyarrow import parquet

    made = pyarrow.Table.from_pandas(table, preserve_index=False)
    about = {**(made.schema.metadata or {}), CONTENT_DIGEST: content_digest(made.to_pandas()).encode()}
    with written_aside(path) as aside:
        parquet.write_table(made.replace_schema_metadata(about), aside)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table; of one that :func:`write_parquet` wrote, every value is known to be as it was.

    Raises:
        TableError: the file is damaged.
        FileNotFoundError: there is none.
    """
    from pyarrow import parquet

    try:
        # Not its pandas frame at once: damaged bytes can be a table that pandas takes, or refuses in any way.
        stored = parquet.read_table(path)
        table: pd.DataFrame = stored.to_pandas()
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow raises half a dozen kinds for damaged bytes
        reason = " ".join(str(error).split())
        raise TableError(f"{_damaged(path)} ({type(error).__name__}: {reason[:200]})") from error
    written = (stored.schema.metadata or {}).get(CONTENT_DIGEST)
    if written is not None and written.decode(errors="replace") != content_digest(table):
        raise TableError(f"{_damaged(path)} (its values are not those of its sha256)")
    return table


def _damaged(path: Path) -> str:
    return f"{path}: damaged; delete it and run the same command again, finished runs are taken from the cache"


def content_digest(table: pd.DataFrame) -> str:
    """sha256 of a table's names, types and values; every NaN is the same, as parquet has only one.

    Example:
        >>> content_digest(pd.DataFrame({"loss": [1.0]})) == content_digest(pd.DataFrame({"loss": [1]}))  # of another type
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
