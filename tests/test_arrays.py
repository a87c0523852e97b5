"""Arrays in files: what numpy would read is read, and a pickle that calls anything is refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.datasets import arrays
from sameplace.datasets.arrays import read_array, read_arrays, read_lists
from sameplace.errors import DatasetError


def object_array(cells: list) -> np.ndarray:
    array = np.empty(len(cells), object)
    for number, cell in enumerate(cells):
        array[number] = cell
    return array


def table(cells: list) -> np.ndarray:
    """Rows of a number and a list, as VPR-Bench writes them."""
    array = np.empty((len(cells), 2), object)
    for number, cell in enumerate(cells):
        array[number] = [number, None]
        array[number, 1] = cell
    return array


def pickled(path: Path, array: np.ndarray, content: bytes) -> Path:
    """An npy file that announces an array of objects and goes on with any pickle."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": array.shape})
        file.write(content)
    return path


@given(st.lists(st.lists(st.integers(0, 2**40), max_size=5), max_size=6), st.sampled_from([2, 3, 4]))
@settings(deadline=None)
def test_lists_come_back_from_every_protocol(tmp_path_factory, lists: list[list[int]], protocol: int) -> None:
    array = object_array(lists)
    path = pickled(tmp_path_factory.mktemp("lists") / "gt.npy", array, pickle.dumps(array, protocol=protocol))
    assert [row.tolist() for row in read_lists(path)] == lists


def test_a_file_of_python_2_and_an_old_numpy_is_read(tmp_path: Path) -> None:
    array = table([np.array([3, 4]), range(5, 7), [np.int64(8)], [9.0], 10])
    old = pickle.dumps(array, protocol=2).replace(b"numpy._core", b"numpy.core")
    assert b"cnumpy.core.multiarray\n_reconstruct" in old
    assert b"c__builtin__\nxrange" in old
    path = pickled(tmp_path / "gt.npy", array, old)
    assert [row.tolist() for row in read_lists(path, column=1)] == [[3, 4], [5, 6], [8], [9], [10]]
    assert [row.tolist() for row in read_lists(path, column=0)] == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize(
    "array",
    [
        object_array([np.arange(4).reshape(2, 2), np.array([True]), np.array([1.5], ">f4")]),
        object_array([[1, [2, 3]], None]),
        table([[1], [2, 3]]),
        np.asfortranarray(table([[1], [2, 3]])),
        np.arange(12.0).reshape(3, 4),
        np.array(["database/a.jpg", "b"]),
        np.float64(10),
    ],
    ids=["arrays", "nested", "table", "fortran", "floats", "names", "number"],
)
def test_an_array_is_what_numpy_reads(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    found, expected = read_array(tmp_path / "array.npy"), np.load(tmp_path / "array.npy", allow_pickle=True)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    for one, other in zip(found.reshape(-1), expected.reshape(-1), strict=True):
        np.testing.assert_array_equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))


def test_lists_of_one_length_may_be_a_plain_table(tmp_path: Path) -> None:
    np.save(tmp_path / "gt.npy", np.array([[1, 2], [3, 4]]))
    assert [row.tolist() for row in read_lists(tmp_path / "gt.npy")] == [[1, 2], [3, 4]]
    assert [row.tolist() for row in read_lists(tmp_path / "gt.npy", column=1)] == [[2], [4]]


class Evil:
    """Unpickled by numpy, this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_malicious_pickle_is_refused_and_does_nothing(protocol: int, tmp_path: Path) -> None:
    array = object_array([Evil(tmp_path / "harm")])
    path = pickled(tmp_path / "gt.npy", array, pickle.dumps(array, protocol=protocol))
    with pytest.raises(DatasetError, match=r"wants to call \w+\.mkdir, which could do anything; it was not opened"):
        read_lists(path)
    assert not (tmp_path / "harm").exists()
    np.load(path, allow_pickle=True)
    assert (tmp_path / "harm").exists()  # which is what would have happened


@pytest.mark.parametrize(
    "name",
    ["builtins eval", "builtins getattr", "numpy load", "numpy.testing._private.utils runstring", "functools partial", "os system"],
)
def test_nothing_but_arrays_lists_and_numbers_is_called(name: str, tmp_path: Path) -> None:
    module, function = name.split()
    path = pickled(tmp_path / "gt.npy", np.empty(1), f"c{module}\n{function}\n(S'1'\ntR.".encode())
    with pytest.raises(DatasetError, match=f"wants to call {module}.{function}"):
        read_array(path)


@pytest.mark.parametrize(
    "name", ["numpy ndarray", "numpy dtype", "numpy.core.multiarray scalar", "_codecs encode", "builtins range"]
)
def test_a_pickle_cannot_rewrite_what_stands_for_numpy(name: str, tmp_path: Path) -> None:
    before = {key: dict(vars(stand_in)) for key, stand_in in arrays.STAND_INS.items()}
    attack = pickle.dumps((None, {"__setstate__": 1, "plain": 2}), protocol=2)[:-1]
    path = pickled(tmp_path / "gt.npy", np.empty(1), f"c{name.replace(' ', chr(10))}\n".encode() + attack + b"b.")
    with pytest.raises(DatasetError, match="damaged"):
        read_array(path)
    assert {key: dict(vars(stand_in)) for key, stand_in in arrays.STAND_INS.items()} == before


def test_a_raw_object_pointer_is_no_number(tmp_path: Path) -> None:
    inner = pickle.dumps(np.array([7]), protocol=2)
    assert b"i8" in inner
    path = pickled(tmp_path / "gt.npy", np.empty(1), inner.replace(b"i8", b"O8"))
    with pytest.raises(DatasetError, match="damaged"):
        read_array(path)


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-5], lambda content: content[:20], lambda content: b"", lambda content: b"<html>" * 40]
)
@pytest.mark.parametrize("array", [object_array([[1], [2]]), np.arange(9)], ids=["objects", "numbers"])
def test_a_damaged_file_is_told_in_one_sentence(array: np.ndarray, damage, tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", array, allow_pickle=True)
    (tmp_path / "gt.npy").write_bytes(damage((tmp_path / "whole.npy").read_bytes()))
    with pytest.raises(DatasetError, match=r"gt.npy was expected to hold an array, but it is damaged .*; get the file again\.$"):
        read_array(tmp_path / "gt.npy")


def test_an_array_of_another_shape_than_announced_is_damaged(tmp_path: Path) -> None:
    path = pickled(tmp_path / "gt.npy", np.empty(5), pickle.dumps(object_array([[1]]), protocol=4))
    with pytest.raises(DatasetError, match=r"shape \(5,\) was announced"):
        read_array(path)


@pytest.mark.parametrize("cells", [[[1.5]], [["a"]], [[[1], [2]]], [None]])
def test_lists_of_anything_but_whole_numbers_are_refused(cells: list, tmp_path: Path) -> None:
    np.save(tmp_path / "gt.npy", object_array(cells), allow_pickle=True)
    with pytest.raises(DatasetError, match="expected to hold lists of row numbers"):
        read_lists(tmp_path / "gt.npy")


def test_a_table_needs_its_column(tmp_path: Path) -> None:
    np.save(tmp_path / "gt.npy", np.arange(4))
    with pytest.raises(DatasetError, match=r"a table of 2 columns, but its shape is \(4,\)"):
        read_lists(tmp_path / "gt.npy", column=1)


def test_the_arrays_of_an_npz_come_back_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "gt.npz", utmQ=np.eye(2), posDistThr=np.float64(10), lists=object_array([[1], [2, 3]]))
    found = read_arrays(tmp_path / "gt.npz")
    assert found.keys() == {"utmQ", "posDistThr", "lists"}
    assert found["utmQ"].tolist() == [[1, 0], [0, 1]]
    assert float(found["posDistThr"]) == 10
    assert found["lists"].tolist() == [[1], [2, 3]]


def test_a_malicious_or_damaged_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", gt=object_array([Evil(tmp_path / "harm")]))
    with pytest.raises(DatasetError, match="wants to call"):
        read_arrays(tmp_path / "evil.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "evil.npz").read_bytes()[:100])
    with pytest.raises(DatasetError, match="damaged"):
        read_arrays(tmp_path / "half.npz")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("cell", [range(10**9), range(10**30)], ids=["long", "longer"])
def test_a_range_that_would_fill_all_memory_is_refused(protocol: int, cell: range, tmp_path: Path) -> None:
    array = object_array([cell])
    path = pickled(tmp_path / "gt.npy", array, pickle.dumps(array, protocol=protocol))
    with pytest.raises(DatasetError, match=r"gt\.npy was expected to hold an array, but it is damaged"):
        read_lists(path)


def test_a_row_number_beyond_all_rows_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "gt.npy", object_array([[10**30]]), allow_pickle=True)
    with pytest.raises(DatasetError, match="expected to hold lists of row numbers"):
        read_lists(tmp_path / "gt.npy")
