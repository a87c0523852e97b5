"""Exact search agrees with brute force whatever the blocks, and stays within its memory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sameplace.search import Exact, Found, Index, comparing, exact
from sameplace.search.comparing import Comparing


def brute_force(queries, database, top, present=None):
    """Sort all similarities of each query, in float64, ties by row."""
    similarities = queries.astype(np.float64) @ database.astype(np.float64).T
    rows = np.arange(len(database)) if present is None else np.flatnonzero(present)
    order = [sorted(rows, key=lambda row, of=of: (-of[row], row))[:top] for of in similarities]
    return np.array([of[chosen] for of, chosen in zip(similarities, order, strict=True)]), np.array(order)


@st.composite
def problems(draw):
    # Small whole numbers make float32 arithmetic exact, so that ties are ties and the comparison can be exact too.
    dim = draw(st.integers(1, 5))
    small = st.integers(-3, 3)
    sizes = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))
    precision = draw(st.sampled_from([np.float16, np.float32]))
    blocks = [draw(arrays.arrays(np.int8, (size, dim), elements=small)).astype(precision) for size in sizes]
    queries = draw(arrays.arrays(np.int8, (draw(st.integers(1, 4)), dim), elements=small)).astype(np.float32)
    present = draw(st.none() | arrays.arrays(np.bool_, sum(sizes)))
    return queries, blocks, present, draw(st.integers(1, 12)), draw(st.integers(1, 400))


@settings(deadline=None)
@given(problems())
def test_exact_search_is_brute_force_whatever_the_blocks_and_the_memory(problem):
    queries, blocks, present, top, bytes_at_once = problem
    found = exact(queries, blocks, top, present=present, bytes_at_once=bytes_at_once)
    similarities, rows = brute_force(queries, np.concatenate(blocks), top, present)
    np.testing.assert_array_equal(found.rows, rows.reshape(found.rows.shape))
    np.testing.assert_array_equal(found.similarities, similarities.reshape(found.rows.shape))
    assert found.rows.shape == (len(queries), min(top, sum(map(len, blocks)) if present is None else present.sum()))


def test_many_real_valued_queries_find_what_brute_force_finds():
    rng = np.random.default_rng(0)
    database = rng.normal(size=(3000, 32)).astype(np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries = rng.normal(size=(1100, 32)).astype(np.float32)  # more than go at once
    found = exact(queries, [database[:1200], database[1200:]], top=7)
    everything = queries @ database.T
    expected = np.sort(everything, axis=1)[:, ::-1][:, :7]
    np.testing.assert_allclose(found.similarities, expected, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(everything, found.rows, axis=1), expected, atol=1e-4)


def test_a_query_without_an_answer_is_an_empty_row_and_not_an_error():
    nothing = exact(np.ones((2, 3), np.float32), [], top=5)
    assert nothing.rows.shape == (2, 0)
    assert exact(np.empty((0, 3), np.float32), [np.ones((4, 3), np.float16)], top=2).rows.shape == (0, 2)


def test_memory_stays_bounded_while_the_database_grows():
    database = np.zeros((60_000, 128), np.float16)  # 30 MB in single precision
    query = np.ones((1, 128), np.float32)
    tracemalloc.start()
    exact(query, [database], top=5, bytes_at_once=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("precision", [np.float16, np.float32])
@pytest.mark.parametrize("filtered", [False, True])
def test_memory_stays_bounded_however_long_and_many_the_descriptors(precision, filtered):
    queries, database = np.zeros((1024, 2048), np.float32), np.zeros((300, 2048), precision)
    queries[:, 0] = database[:, 0] = 1  # 8 MB of queries
    present = np.arange(300) % 2 == 0 if filtered else None
    exact(queries[:1], [database], top=5, present=present)  # what is compiled at the first call is not counted
    tracemalloc.start()
    exact(queries, [database], top=5, present=present, bytes_at_once=1 << 22)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_queries_in_single_precision_are_not_enlarged_for_halves():
    queries, rows = np.ones((40, 1000), np.float32), np.ones((80, 1000), np.float32)
    Comparing(queries, rows=80).similarities(rows)
    tracemalloc.start()
    Comparing(queries, rows=80).similarities(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < queries.nbytes


def test_exact_is_an_index_and_counts_what_can_be_found():
    index: Index = Exact(blocks=[np.eye(3, dtype=np.float16)], present=np.array([True, False, True]))
    assert len(index) == 2
    assert len(Exact(blocks=[np.eye(3, dtype=np.float16)])) == 3
    found = index.search(np.eye(3, dtype=np.float32), top=3)
    assert isinstance(found, Found)
    assert found.rows.tolist() == [[0, 2], [0, 2], [2, 0]]


def test_every_half_there_is_becomes_the_single_that_numpy_makes_of_it():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)][:, None]
    found = Comparing(np.ones((1, 1), np.float32), rows=len(halves)).similarities(halves)
    assert found.tobytes() in (halves.astype(np.float32).T.tobytes(), (halves.astype(np.float32) + np.float32(0)).T.tobytes())


@settings(deadline=None)
@given(
    arrays.arrays(np.float16, (5, 3), elements=st.floats(width=16, allow_nan=False)),
    arrays.arrays(np.float32, (2, 3), elements=st.floats(-1e5, 1e5, width=32, allow_subnormal=False)),
    st.sampled_from([slice(None), slice(None, None, 2), slice(None, None, -1)]),
)
def test_similarities_are_those_of_the_same_numbers_in_single_precision(halves, queries, lying):
    piece = halves[lying]
    with np.errstate(all="ignore"):
        found = Comparing(queries, rows=5).similarities(piece)
        expected = queries.astype(np.float64) @ piece.astype(np.float64).T
        reach = np.abs(queries).astype(np.float64) @ np.abs(piece).astype(np.float64).T
    finite = np.isfinite(expected)
    assert np.array_equal(np.isfinite(found), finite)
    assert (np.abs(found[finite] - expected[finite]) <= 1e-6 * reach[finite] + 1e-37).all()


def test_a_small_database_that_many_ask_is_kept_in_single_precision_and_answers_the_same(monkeypatch):
    monkeypatch.setattr(comparing, "KEEP_AFTER", 3)
    drawn = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float16)
    blocks = (drawn[:200], drawn[200:])
    index = Exact(blocks=blocks)
    queries = np.random.default_rng(1).standard_normal((1, 16)).astype(np.float32)
    answers = [index.search(queries, top=9) for _ in range(3)]
    assert index.kept.best(blocks, 0) is blocks, "a few queries are not worth the memory"
    answers += [index.search(queries, top=9) for _ in range(2)]
    assert [block.dtype for block in index.kept.best(blocks, 0)] == [np.float32, np.float32]
    for answer in answers:
        np.testing.assert_array_equal(answer.rows, answers[0].rows)
        np.testing.assert_allclose(answer.similarities, answers[0].similarities, rtol=1e-6)
    some = np.arange(500) % 3 == 0
    filtered = replace(index, present=some).search(queries, top=9)
    np.testing.assert_array_equal(filtered.rows, exact(queries, blocks, 9, present=some).rows)


def test_what_is_kept_of_one_database_never_answers_for_another(monkeypatch):
    monkeypatch.setattr(comparing, "KEEP_AFTER", 0)
    index = Exact(blocks=(np.eye(3, dtype=np.float16),))
    assert index.search(np.eye(3, dtype=np.float32), top=1).rows.tolist() == [[0], [1], [2]]
    other = replace(index, blocks=(np.eye(3, dtype=np.float16)[::-1],))
    assert other.search(np.eye(3, dtype=np.float32), top=1).rows.tolist() == [[2], [1], [0]]


@pytest.mark.parametrize(("allowed", "held"), [(4 * 20_000 * 64, True), (4 * 20_000 * 64 - 1, False)])
def test_a_database_that_would_take_too_much_is_not_kept(monkeypatch, allowed, held):
    monkeypatch.setattr(comparing, "KEEP_AFTER", 0)
    monkeypatch.setattr(comparing, "KEPT_BYTES", allowed)
    index = Exact(blocks=(np.zeros((20_000, 64), np.float16),))
    tracemalloc.start()
    for _ in range(3):
        index.search(np.ones((1, 64), np.float32), top=5)
    now = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert (now > 4 * 20_000 * 64) == held
    assert now < 4 * 20_000 * 64 + (1 << 20)


@pytest.mark.parametrize(
    ("queries", "database", "top", "present", "cure"),
    [
        (np.ones((1, 3)), np.ones((4, 3)), 0, None, "top=1 or more"),
        (np.ones((1, 3)), np.ones((4, 2)), 1, None, "same model"),
        (np.ones((1, 3)), np.ones((4, 3)), 1, np.ones(3, np.bool_), "one truth value a row"),
        (np.full((1, 3), np.nan), np.ones((4, 3)), 1, None, "leave out photos"),
        (np.ones((1, 3)), np.full((4, 3), np.nan), 1, None, "describe its photos again"),
    ],
)
def test_a_search_that_cannot_be_right_says_what_to_do(queries, database, top, present, cure):
    with pytest.raises(ValueError, match=cure):
        exact(queries.astype(np.float32), [database.astype(np.float32)], top, present=present)
