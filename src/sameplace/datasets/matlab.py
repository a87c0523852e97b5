"""The MATLAB files that say which images a benchmark has and where they were taken: `dbStruct`, in both shapes that are about."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sameplace.errors import DatasetError, MissingExtra
from sameplace.shapes import Array, Float64

VARIABLE = "dbStruct"
BROKEN = (ArithmeticError, EOFError, LookupError, MemoryError, NotImplementedError, OSError, TypeError, ValueError, zlib.error)
"""What damaged bytes, and files of MATLAB 7.3, make scipy raise."""
CELLS = ("dbImageFns", "utmDb", "qImageFns", "utmQ", "numImages", "numQueries", "posDistThr", "posDistSqThr")
"""What the cells of the nameless shape hold, by the names of the other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageLists:
    """What a `dbStruct` says: names of images and where each was taken, in metres east and north."""

    database: tuple[str, ...]
    database_at: Float64[Array, "_database 2"]
    queries: tuple[str, ...]
    queries_at: Float64[Array, "_queries 2"]
    radius: float
    """Metres up to which the file itself would call an image right."""
    database_times: Float64[Array, " _database"] | None = None
    """When each image was taken, in whatever unit; equal numbers mean the same pass."""
    queries_times: Float64[Array, " _queries"] | None = None


def read_image_lists(path: Path, obtain: str) -> ImageLists:
    """The image lists of a .mat file, whichever shape its `dbStruct` has.

    NetVLAD's shape is a struct with 2 x N coordinates, read by the names of its fields, for Tokyo Time Machine has two more and
    other positions (Relja/netvlad datasets/dbBase.m; Nanne/pytorch-NetVlad pittsburgh.py). HEAPUtil's is a row of eight cells with
    N x 2 coordinates and names that are padded with blanks (Nik-V9/HEAPUtil NetVLAD/dataset.py). DatasetError where the file is
    neither, MissingExtra without scipy.
    """
    value = _variable(path, obtain)
    if value.dtype.names:
        fields = {name: value.reshape(-1)[0][name] for name in value.dtype.names}
        return _lists(path, obtain, fields, transposed=True)
    if value.dtype == object and value.size == len(CELLS):
        return _lists(path, obtain, dict(zip(CELLS, value.reshape(-1), strict=True)), transposed=False)
    raise DatasetError(
        f"{path}: {VARIABLE} was expected as a struct, or as a row of {len(CELLS)} cells, and is {value.dtype} of shape "
        f"{value.shape}; get {obtain}."
    )


def _variable(path: Path, obtain: str) -> Any:
    """The array `dbStruct` as scipy reads it."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise MissingExtra("Reading the .mat files of a benchmark", "benchmarks") from error
    try:
        variables = loadmat(path, variable_names=[VARIABLE])
    except (*BROKEN, MatReadError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} was expected to be a MATLAB file, but cannot be read ({reason}); get {obtain}.") from error
    if VARIABLE not in variables or variables[VARIABLE].size == 0:
        raise DatasetError(f"{path} was expected to hold {VARIABLE}, and does not; get {obtain}.")
    return variables[VARIABLE]


def _lists(path: Path, obtain: str, fields: dict[str, Any], *, transposed: bool) -> ImageLists:
    missing = [name for name in ("dbImageFns", "utmDb", "qImageFns", "utmQ", "posDistThr") if name not in fields]
    if missing:
        raise DatasetError(f"{path}: {VARIABLE} was expected to have {missing[0]}, and has {', '.join(fields)}; get {obtain}.")
    database, queries = _names(fields["dbImageFns"]), _names(fields["qImageFns"])
    if not all((*database, *queries)) or not database or not queries:
        raise DatasetError(f"{path}: {VARIABLE} was expected to name images, and some or all names are empty; get {obtain}.")
    try:
        return ImageLists(
            database=database,
            database_at=_coordinates(fields["utmDb"], len(database), transposed=transposed),
            queries=queries,
            queries_at=_coordinates(fields["utmQ"], len(queries), transposed=transposed),
            radius=float(_numbers(fields["posDistThr"], 1)[0]),
            database_times=_numbers(fields["dbTimeStamp"], len(database)) if "dbTimeStamp" in fields else None,
            queries_times=_numbers(fields["qTimeStamp"], len(queries)) if "qTimeStamp" in fields else None,
        )
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}: {VARIABLE} is not whole: {error}; get {obtain}.") from error


def _names(value: Any) -> tuple[str, ...]:
    """Names from a cell of strings, or from a matrix of letters whose rows are padded with blanks."""
    cells = np.asarray(value).reshape(-1)
    return tuple("".join(np.asarray(cell).reshape(-1)[:1].astype(str)).rstrip() for cell in cells)


def _coordinates(value: Any, count: int, *, transposed: bool) -> Float64[Array, "count 2"]:
    wanted = (2, count) if transposed else (count, 2)
    found = np.asarray(value)
    if found.shape != wanted:
        raise ValueError(f"coordinates of shape {wanted} were expected for {count} names, found {found.shape}")
    numbers = (found.T if transposed else found).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("some coordinates are no numbers")
    return np.ascontiguousarray(numbers)


def _numbers(value: Any, count: int) -> Float64[Array, " count"]:
    found = np.asarray(value).reshape(-1).astype(np.float64)
    if len(found) != count:
        raise ValueError(f"{count} numbers were expected, found {len(found)}")
    return found
