"""recall@N and its interval, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sameplace.measures import first_hits, recall, wilson
from sameplace.measures.recall import NEVER

ranked = st.lists(st.tuples(st.permutations(range(12)), st.sets(st.integers(0, 11))), min_size=1, max_size=20)


@given(ranked)
@settings(deadline=None)
def test_recall_is_the_share_of_queries_with_a_positive_among_the_first_n(queries: list[tuple[list[int], set[int]]]) -> None:
    retrieved = [np.array(rows) for rows, _ in queries]
    positives = [np.array(sorted(right), np.int64) for _, right in queries]
    shares = recall(first_hits(retrieved, positives), (1, 3, 12))
    for top in (1, 3, 12):
        hits = 0
        for rows, right in queries:
            hits += any(row in right for row in rows[:top])
        assert shares[top] == pytest.approx(hits / len(queries))


@given(ranked)
@settings(deadline=None)
def test_recall_never_falls_as_n_grows(queries: list[tuple[list[int], set[int]]]) -> None:
    first = first_hits([np.array(rows) for rows, _ in queries], [np.array(sorted(right), np.int64) for _, right in queries])
    shares = list(recall(first, range(1, 13)).values())
    assert shares == sorted(shares)


def test_a_query_without_a_positive_is_a_miss_at_any_depth() -> None:
    first = first_hits([np.array([0, 1])], [np.array([], np.int64)])
    assert first.tolist() == [NEVER]
    assert recall(first, (1, 10**9)) == {1: 0.0, 10**9: 0.0}


def test_a_hit_below_n_counts_and_one_at_n_does_not() -> None:
    assert recall(np.array([4]), (4, 5)) == {4: 0.0, 5: 1.0}


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (5, 5), (176, 200), (1, 3)])
def test_the_interval_is_scipys(hits: int, count: int) -> None:
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    "call",
    [lambda: recall(np.array([], np.int64), (1,)), lambda: recall(np.array([0]), (0,)), lambda: recall(np.array([0]), ())],
    ids=["no query", "recall@0", "no N"],
)
def test_recall_of_nothing_is_refused(call) -> None:
    with pytest.raises(ValueError, match="recall@N"):
        call()


def test_lists_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 for 1"):
        first_hits([np.array([0])], [np.array([0]), np.array([1])])
    with pytest.raises(ValueError, match="at least one query"):
        wilson(0.5, 0)
