"""Arrays in npy and npz files, those of lists among them: such a file is a pickle, and only numbers and lists are let out of it."""

import pickle
import re
import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sameplace.datasets.truth import Rows
from sameplace.errors import DatasetError

LONGEST_RANGE = 10_000_000
PLAIN_KIND = re.compile(r"[?bBhHiIlLqQefd]|[biufO]\d*")
BROKEN = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RecursionError, TypeError, ValueError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What damaged bytes make a reader raise."""


def read_array(path: Path) -> NDArray[Any]:
    """The array of an npy file; one of objects may hold numbers, lists and arrays of them, and nothing else.

    numpy's `allow_pickle=True`, which published loaders use for such files, runs whatever code the file names. Raises
    DatasetError for a file that names any, or that is damaged.
    """
    try:
        return _read(BytesIO(path.read_bytes()), path)
    except BROKEN as error:
        raise DatasetError(f"{path} was expected to hold an array, but it is damaged ({error}); get the file again.") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, by name; DatasetError as for `read_array`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
        return {name: _read(BytesIO(member), path) for name, member in members.items()}
    except BROKEN as error:
        raise DatasetError(f"{path} was expected to hold arrays, but it is damaged ({error}); get the file again.") from error


def read_lists(path: Path, column: int | None = None) -> Rows:
    """For each row of an array its numbers: those of one column, where each cell of that column holds a list.

    The array may be one of objects, or a table of numbers, as numpy writes it where all lists are of one length.
    """
    array = read_array(path)
    if column is not None:
        if array.ndim != 2 or array.shape[1] <= column:
            raise DatasetError(
                f"{path} was expected to hold a table of {column + 1} columns, but its shape is {array.shape}; get the file again."
            )
        array = array[:, column]
    if array.ndim not in (1, 2):
        raise DatasetError(f"{path} was expected to hold one list a row, but its shape is {array.shape}; get the file again.")
    try:
        return tuple(_whole_numbers(cell) for cell in array)
    except (MemoryError, OverflowError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} was expected to hold lists of row numbers, but {error}; get the file again.") from error


def _whole_numbers(cell: object) -> NDArray[np.int64]:
    numbers = np.asarray(list(cell) if isinstance(cell, Iterable) else [cell])
    whole = numbers.astype(np.int64)
    if numbers.ndim != 1 or (numbers != whole).any():
        raise ValueError(f"one cell holds {cell!s:.60}")
    return whole


def _read(file: BytesIO, path: Path) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(file)
    if kind.hasobject:
        array = _Unpickler(file, path).load()
        if not isinstance(array, _Array) or array.values.shape != shape:
            raise ValueError(f"an array of shape {shape} was announced")
        return array.values
    file.seek(0)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


class _Unpickler(pickle.Unpickler):
    """Reads the pickle of an array without numpy's own classes: none of theirs is built from what a stranger wrote.

    Files of Python 2 name their modules otherwise, and hold bytes as text.
    """

    def __init__(self, file: BytesIO, path: Path) -> None:
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name, or a refusal."""
        stand_in = STAND_INS.get((module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins"), name))
        if stand_in is None:
            raise DatasetError(
                f"{self.path} was expected to hold numbers, but it wants to call {module}.{name}, which could do anything; it was "
                f"not opened: get the file from its authors."
            )
        return stand_in


class _Array:
    """An array while it is unpickled."""

    def __init__(self) -> None:
        self.values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[int, tuple[int, ...], "_Kind", bool, Any]) -> None:
        _, shape, kind, is_fortran, values = state
        if kind.code.startswith("O"):
            flat = np.empty(len(values), object)
            for number, value in enumerate(values):
                flat[number] = _plain(value)
        else:
            flat = np.frombuffer(_bytes(values), kind.plain()).copy()
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")


class _Kind:
    """The type of an array's numbers while it is unpickled."""

    def __init__(self, code: str, *_: object) -> None:
        if not PLAIN_KIND.fullmatch(code):
            raise ValueError(f"it holds values of type {code!r}")
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def plain(self) -> np.dtype[Any]:
        """The type as numpy knows it."""
        return np.dtype(self.order + self.code)


class _Reconstructed:
    """Stands for numpy's function that makes the array which is filled afterwards."""

    def __new__(cls, *_: object) -> Any:
        return _Array()

    __setstate__ = _Kind.__setstate__  # so that nothing a pickle says can be written on the class itself


class _Scalar:
    """Stands for numpy's function that makes one number."""

    def __new__(cls, kind: _Kind, data: bytes | str) -> Any:
        return np.frombuffer(_bytes(data), kind.plain())[0].item()

    __setstate__ = _Kind.__setstate__


class _Encoded:
    """Stands for the function by which Python 3 writes bytes into an old pickle."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding != "latin1":
            raise ValueError(f"it holds bytes as {encoding}")
        return text.encode("latin1")

    __setstate__ = _Kind.__setstate__


class _Range:
    """Stands for `range`, which takes a few bytes to write and may take all memory to list."""

    def __new__(cls, *edges: Any) -> Any:
        numbers = range(*edges)
        if len(numbers) > LONGEST_RANGE:
            raise ValueError(f"it holds a range of {len(numbers):,} numbers")
        return numbers

    __setstate__ = _Kind.__setstate__


STAND_INS: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("numpy.core.multiarray", "_reconstruct"): _Reconstructed,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("_codecs", "encode"): _Encoded,
    ("builtins", "range"): _Range,
    ("builtins", "xrange"): _Range,
}


def _bytes(data: bytes | str) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else data


def _plain(value: Any) -> Any:
    """What stands for arrays replaced by arrays, at any depth."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
