"""The rows of a positions.csv: which photo each one names, and what it says, not yet understood."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sameplace.errors import PositionError

TABLE_NAME = "positions.csv"
DELIMITERS = (",", ";", "\t")
COLUMNS: Mapping[str, str] = {
    "filename": "file",
    "latitude": "lat",
    "longitude": "lon",
    "lng": "lon",
    "easting": "east",
    "northing": "north",
    "heading": "heading_deg",
}
"""Other names that columns are known by, where the proper one is missing."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one row says of one photo."""

    file: str
    """As written, with / between folders."""
    line: int
    cells: str
    """The other cells that hold something, as JSON in a fixed order, so that equal rows are equal text; empty where none does."""
    broken: str = ""
    """Why the row is not used, or nothing."""


def read_table(path: Path) -> Iterator[Row]:
    """Read a table in UTF-8 with a column `file`, split by commas, semicolons or tabs; PositionError where it is none.

    Case and order of the columns, blanks around cells and empty lines do not matter.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PositionError(
            f"The positions in {path} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise PositionError(f"{path} was expected as UTF-8 text, but is not at byte {error.start}; save it as UTF-8.") from error
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [cell.strip().lower() for cell in next(reader, [])]
        header = [COLUMNS[name] if name in COLUMNS and COLUMNS[name] not in names else name for name in names]
        if header.count("file") != 1:
            raise PositionError(
                f"{path} needs a first line that names its columns, one of them `file`, got {', '.join(header) or 'nothing'}; "
                f"put a line like file,lat,lon on top."
            )
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(header, [cell.strip() for cell in cells], reader.line_num)
    except csv.Error as error:
        raise PositionError(f"{path} is broken at line {reader.line_num} ({error}); save it again as CSV.") from error


def _row(header: list[str], cells: list[str], line: int) -> Row:
    said = {column: cell for column, cell in zip(header, cells, strict=False) if cell and column}
    file = said.pop("file", "").replace("\\", "/")
    broken = ""
    if not file:
        broken = "the column file is empty"
    elif len(cells) > len(header) and any(cells[len(header) :]):
        broken = f"it has {len(cells)} cells, but there are {len(header)} columns"
    return Row(file=file, line=line, cells=row_text(said), broken=broken)


def row_text(cells: Mapping[str, str]) -> str:
    """Cells as text that is equal for equal rows, and empty where nothing is said."""
    return json.dumps(cells, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if cells else ""
