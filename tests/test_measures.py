"""Every figure against its definition, or another implementation of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, precision_recall_curve

from sameplace.measures import (
    NEVER,
    average_precision,
    bootstrap,
    first_hits,
    located,
    mcnemar,
    median_error,
    precision_recall,
    recall,
    wilson,
)

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


def compute_ap(ranking: list[int], good: set[int], junk: set[int]) -> float:
    """The published program of the Oxford and Paris benchmarks, line by line."""
    old_recall, old_precision, area, found, place = 0.0, 1.0, 0.0, 0, 0
    for row in ranking:
        if row in junk:
            continue
        found += row in good
        new_recall = found / len(good)
        precision = found / (place + 1.0)
        area += (new_recall - old_recall) * ((old_precision + precision) / 2.0)
        old_recall, old_precision = new_recall, precision
        place += 1
    return area


def holidays_map(ranking: list[int], good: set[int], query: int) -> float:
    """The published program of the Holidays benchmark: ranks from 0 of the right images, the query itself taken out before."""
    ranks = [place for place, row in enumerate(row for row in ranking if row != query) if row in good]
    area, step = 0.0, 1.0 / len(good)
    for found, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else found / float(rank)
        area += (before + (found + 1) / float(rank + 1)) * step / 2.0
    return area


rankings = st.tuples(
    st.permutations(range(14)), st.integers(1, 14), st.sets(st.integers(0, 4), min_size=1), st.sets(st.integers(5, 9))
)


@given(rankings)
@settings(deadline=None)
def test_average_precision_is_that_of_the_published_programs(case: tuple[list[int], int, set[int], set[int]]) -> None:
    ranking, retrieved, good, junk = case
    rows = [np.array(sorted(some), np.int64) for some in (good, junk)]
    assert average_precision(np.array(ranking[:retrieved]), *rows) == pytest.approx(compute_ap(ranking[:retrieved], good, junk))
    query = np.array([13])
    assert average_precision(np.array(ranking), rows[0], query) == pytest.approx(holidays_map(ranking, good, 13))


@given(rankings)
@settings(deadline=None)
def test_where_junk_stands_does_not_matter(case: tuple[list[int], int, set[int], set[int]]) -> None:
    ranking, _, good, junk = case
    rows = [np.array(sorted(some), np.int64) for some in (good, junk)]
    cleaned = np.array([row for row in ranking if row not in junk])
    assert average_precision(np.array(ranking), *rows) == average_precision(cleaned, rows[0])


def test_average_precision_by_hand() -> None:
    """Right at ranks 1, 3 and never: 1/3 of recall at (1 + 1) / 2, 1/3 at (1/2 + 2/3) / 2."""
    assert average_precision(np.array([5, 1, 6, 2]), np.array([5, 6, 7])) == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 3)
    with pytest.raises(ValueError, match="leave the query out"):
        average_precision(np.array([1, 2]), np.array([], np.int64))


matches = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=30)


@given(matches, st.integers(0, 9))
@settings(deadline=None)
def test_precision_over_recall_is_scikit_learns_with_the_stated_denominator(some: list[tuple[int, bool]], missed: int) -> None:
    """scikit-learn divides by the right matches; here those queries count, too, that have an answer and got another."""
    confidence, correct = np.array([level / 7 for level, _ in some]), np.array([right for _, right in some])
    answerable = int(correct.sum()) + missed
    if not correct.any():
        return
    curve = precision_recall(confidence, correct, answerable)
    precision, found, threshold = precision_recall_curve(correct, confidence)
    share = correct.sum() / answerable
    assert curve.threshold == pytest.approx(threshold[::-1])
    assert curve.precision == pytest.approx(precision[-2::-1])
    assert curve.recall == pytest.approx(found[-2::-1] * share)
    assert curve.area == pytest.approx(average_precision_score(correct, confidence) * share)


@given(matches, st.integers(1, 9))
@settings(deadline=None)
def test_recall_at_full_precision_is_the_best_threshold_without_an_error(some: list[tuple[int, bool]], missed: int) -> None:
    confidence, correct = np.array([float(level) for level, _ in some]), np.array([right for _, right in some])
    answerable = int(correct.sum()) + missed
    best = 0.0
    for threshold in confidence:
        believed = confidence >= threshold
        if correct[believed].all():
            best = max(best, believed.sum() / answerable)
    assert precision_recall(confidence, correct, answerable).recall_at_full_precision == pytest.approx(best)


def test_a_curve_of_nothing_found_has_no_area_and_a_wrong_denominator_is_refused() -> None:
    empty = precision_recall(np.array([]), np.array([], np.bool_), answerable=3)
    assert (empty.area, empty.recall_at_full_precision, len(empty.recall)) == (0.0, 0.0, 0)
    with pytest.raises(ValueError, match="got 1 for 2"):
        precision_recall(np.array([0.5, 0.4]), np.array([True, True]), answerable=1)
    with pytest.raises(ValueError, match="leave out queries"):
        precision_recall(np.array([0.5, np.nan]), np.array([True, True]), answerable=2)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
@settings(deadline=None)
def test_errors_are_summed_up_as_numpy_does(errors: list[float]) -> None:
    assert median_error(np.array(errors)) == pytest.approx(np.median(errors))
    assert located(np.array(errors), (5.0, 10.0)) == {
        metres: sum(e <= metres for e in errors) / len(errors) for metres in (5.0, 10.0)
    }


def test_a_query_that_found_nothing_is_infinitely_far_away() -> None:
    assert median_error(np.array([1.0, 2.0, np.inf])) == 2.0
    assert median_error(np.array([1.0, np.inf, np.inf])) == np.inf
    assert located(np.array([1.0, np.inf]), (25.0,)) == {25.0: 0.5}
    with pytest.raises(ValueError, match="at least one"):
        median_error(np.array([]))


def test_the_bootstrap_is_scipys() -> None:
    errors = np.random.default_rng(1).exponential(10.0, 80)
    hits = errors < 8

    def figures(rows: np.ndarray) -> np.ndarray:
        return np.array([hits[rows].mean(), np.median(errors[rows])])

    ours = bootstrap(figures, 80, np.random.default_rng(2), resamples=4000)
    for interval, values, statistic in ((ours[0], hits.astype(float), np.mean), (ours[1], errors, np.median)):
        theirs = stats.bootstrap((values,), statistic, n_resamples=4000, method="percentile", rng=np.random.default_rng(3))
        assert interval == pytest.approx(tuple(theirs.confidence_interval), rel=0.06)


def test_the_bootstrap_of_a_share_is_binomial() -> None:
    """Drawing queries again makes the number of hits binomial: its quantiles are known."""
    hits = np.arange(200) < 117
    (interval,) = bootstrap(lambda rows: np.array([hits[rows].mean()]), 200, np.random.default_rng(0), resamples=4000)
    assert interval == pytest.approx(stats.binom(200, 117 / 200).ppf([0.025, 0.975]) / 200, abs=0.006)


def test_the_bootstrap_repeats_itself_and_leaves_out_what_is_not_defined() -> None:
    values = np.array([1.0, np.nan, np.nan, np.nan])

    def figures(rows: np.ndarray) -> np.ndarray:
        known = values[rows][~np.isnan(values[rows])]
        return np.array([known.mean() if len(known) else np.nan, np.nan])

    once, again = (bootstrap(figures, 4, np.random.default_rng(5), resamples=50) for _ in range(2))
    assert once[0].tolist() == again[0].tolist() == [1.0, 1.0]
    assert np.isnan(once[1]).all()
    with pytest.raises(ValueError, match="at least one"):
        bootstrap(figures, 0, np.random.default_rng(5))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None)
def test_mcnemar_is_scipys_binomial_test_of_the_disagreements(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(part) for part in zip(*pairs, strict=True))
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    disagreed = only_first + only_second
    expected = binomtest(only_first, disagreed, 0.5).pvalue if disagreed else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_holds_for_large_benchmarks() -> None:
    first = np.arange(6816) < 3600
    assert mcnemar(first, ~first) == pytest.approx(binomtest(3600, 6816, 0.5).pvalue, rel=1e-9)
