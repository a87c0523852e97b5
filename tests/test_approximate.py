"""Approximate search finds what exact search finds, nearly always, and never what was removed or filtered out."""

import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sameplace.errors import MissingExtra
from sameplace.search import Approximate, Effort, Exact, Index, approximate, codes, exact

faiss = pytest.importorskip("faiss")
DIM = 64


def views(count, *, of=600, dim=DIM, seed=0, noise=0.6):
    """Descriptors of views of some places: neighbours worth finding, in a spectrum that decays as real ones do."""
    rng = np.random.default_rng(seed)
    spectrum = (np.arange(1, dim + 1) ** -0.5).astype(np.float32)
    places = np.random.default_rng(99).standard_normal((of, dim), np.float32)
    drawn = (places[rng.integers(0, of, count)] + noise * rng.standard_normal((count, dim), np.float32)) * spectrum
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


DATABASE = views(6000).astype(np.float16)
QUERIES = views(200, seed=1)
EFFORT = Effort(probes=22, depth=300)
"""64 numbers make short codes, which need a deeper second look than real descriptors do."""


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch):
    """Otherwise what a test can afford would be searched exactly."""
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 50)


@pytest.fixture(scope="module", params=[1, 32], ids=["one list", "32 lists"])
def index(request):
    return Approximate.build([DATABASE[:2500], DATABASE[2500:]], lists=request.param, effort=EFFORT)


def shared(found, right):
    """The share of the right rows that were found."""
    pairs = zip(found.rows.tolist(), right.rows.tolist(), strict=True)
    return np.mean([len(set(mine) & set(wanted)) / len(wanted) for mine, wanted in pairs])


def test_it_finds_what_exact_search_and_faiss_flat_find(index):
    found, right = index.search(QUERIES, 10), exact(QUERIES, [DATABASE], 10)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(DATABASE.astype(np.float32))
    assert np.mean(found.rows[:, 0] == flat.search(QUERIES, 1)[1][:, 0]) >= 0.99
    assert shared(found, right) >= 0.97
    both = found.rows == right.rows
    np.testing.assert_allclose(found.similarities[both], right.similarities[both], atol=1e-5)


def test_without_a_rotation_or_without_a_second_look_it_would_find_less(index):
    blind = codes.Codes.learn(DATABASE, 1, rotation=np.eye(DIM, dtype=np.float32))
    blind.add(DATABASE, np.arange(len(DATABASE)))
    _, unturned = blind.candidates(QUERIES, 10, 1)
    right = exact(QUERIES, [DATABASE], 10)
    first_look = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(unturned.tolist(), right.rows.tolist(), strict=True)])
    assert first_look < 0.9 < shared(index.search(QUERIES, 10), right)


def test_more_effort_finds_no_less():
    index = Approximate.build([DATABASE], lists=64)
    right = exact(QUERIES, [DATABASE], 10)
    recalls = []
    for effort in (Effort(probes=1, depth=40), Effort(probes=8, depth=40), Effort(probes=64, depth=400)):
        recalls.append(shared(approximate.replace(index, effort=effort).search(QUERIES, 10), right))
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.9
    assert recalls[-1] > 0.999


def test_added_in_two_parts_it_answers_as_added_at_once(index):
    whole = Approximate.build([DATABASE], lists=index.codes[0].lists, effort=index.effort)
    parts = approximate.replace(
        index, blocks=(), numbered=0, codes=(codes.Codes.learn(DATABASE, 1, rotation=index.codes[0].rotation),)
    )
    for first in range(0, len(DATABASE), 1700):
        parts = parts.add(DATABASE[first : first + 1700])
    assert len(parts) == len(whole) == len(DATABASE)
    right = exact(QUERIES, [DATABASE], 10)
    assert shared(parts.search(QUERIES, 10), right) > 0.97
    assert np.mean(parts.search(QUERIES, 1).rows == whole.search(QUERIES, 1).rows) >= 0.99


def test_rows_without_codes_are_found_all_the_same(index):
    late = views(300, seed=2)
    more = approximate.replace(index, blocks=(*index.blocks, late.astype(np.float16)))
    found = more.search(late[:50], 1)
    assert found.rows[:, 0].tolist() == list(range(6000, 6050))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.999), st.integers(1, 60))
def test_a_filter_lets_nothing_else_through_and_gives_as_many_answers_as_there_can_be(index, seed, share, top):
    chosen = np.random.default_rng(seed).random(len(DATABASE)) < share
    found = index.only(chosen).search(QUERIES[:20], top)
    assert found.rows.shape == (20, min(top, chosen.sum()))
    assert chosen[found.rows].all()
    assert all(len(set(rows)) == len(rows) for rows in found.rows.tolist())
    assert (np.diff(found.similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_a_filtered_search_is_a_search_of_what_the_filter_lets_through(index, share):
    chosen = np.random.default_rng(0).random(len(DATABASE)) < share
    right = exact(QUERIES, [DATABASE], 10, present=chosen)
    assert shared(index.only(chosen).search(QUERIES, 10), right) > 0.97
    np.testing.assert_array_equal(right.rows, np.flatnonzero(chosen)[exact(QUERIES, [DATABASE[chosen]], 10).rows])


def test_a_few_rows_are_searched_exactly(index, monkeypatch):
    monkeypatch.setattr(approximate, "EXACT_UP_TO", 1000)
    chosen = np.arange(len(DATABASE)) % 8 == 0
    found, right = index.only(chosen).search(QUERIES, 20), exact(QUERIES, [DATABASE], 20, present=chosen)
    np.testing.assert_array_equal(found.rows, right.rows)


def test_what_was_removed_is_never_found_and_the_others_keep_their_numbers(index):
    best = index.search(QUERIES, 3)
    without = index.remove(np.unique(best.rows[:, 0]))
    assert len(without) == len(index) - len(np.unique(best.rows[:, 0]))
    found = without.search(QUERIES, 10)
    assert not np.isin(found.rows, best.rows[:, 0]).any()
    untouched = ~np.isin(best.rows[:, 1], best.rows[:, 0])
    assert (found.rows[untouched, 0] == best.rows[untouched, 1]).mean() > 0.98


def test_rows_that_are_no_longer_there_shift_the_numbers_of_those_behind(index):
    dropped = np.array([0, 7, 2600, 5999])
    kept = np.delete(DATABASE, dropped, axis=0)
    shifted = approximate.replace(index, blocks=(kept,), dropped=dropped)
    assert len(shifted) == 5996
    found, right = shifted.search(QUERIES, 10), exact(QUERIES, [kept], 10)
    assert shared(found, right) > 0.97
    present = np.random.default_rng(3).random(len(kept)) < 0.4
    assert shared(shifted.only(present).search(QUERIES, 10), exact(QUERIES, [kept], 10, present=present)) > 0.97


def test_saved_and_opened_it_gives_the_same_answers_and_goes_on(index, tmp_path):
    index.save(tmp_path / "index")
    opened = approximate.replace(Approximate.open(tmp_path / "index", index.blocks), effort=index.effort)
    before, after = index.search(QUERIES, 10), opened.search(QUERIES, 10)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.similarities, after.similarities)
    late = views(10, seed=5).astype(np.float16)
    assert opened.add(late).search(late.astype(np.float32), 1).rows[:, 0].tolist() == list(range(6000, 6010))


def test_many_lists_are_learnt_and_filled_by_groups_and_find_as_much(monkeypatch):
    every = Approximate.build([DATABASE], lists=256, effort=EFFORT)
    monkeypatch.setattr(codes, "GROUPED_FROM", 256)
    monkeypatch.setattr(codes, "GROUPS_PROBED", 8)
    grouped = Approximate.build([DATABASE[:5000]], lists=256, effort=EFFORT).add(DATABASE[5000:])
    right = exact(QUERIES, [DATABASE], 10)
    assert shared(grouped.search(QUERIES, 10), right) > shared(every.search(QUERIES, 10), right) - 0.03
    assert type(grouped.codes[0].index.quantizer) is type(every.codes[0].index.quantizer), "queries look at all centroids"
    nearest = [index.codes[0].index.quantizer.search(DATABASE @ index.codes[0].rotation, 1)[0] for index in (every, grouped)]
    assert nearest[1].mean() < 1.05 * nearest[0].mean()


@pytest.mark.parametrize("noise", [0, 3e-4], ids=["copies", "nearly copies"])
@pytest.mark.parametrize("share", [0.8, 0.95, 1.0])
def test_photos_that_are_mostly_copies_of_one_are_learnt_and_found(share, noise):
    # FAISS ended the process ("invalid cluster assignment"), so that a child is asked.
    program = f"""
import numpy as np
from sameplace.search import Approximate
rng = np.random.default_rng(0)
database = rng.standard_normal((65_536, 16)).astype(np.float32)
database[rng.random(len(database)) < {share}] = database[0]
database += np.float32({noise}) * rng.standard_normal(database.shape, np.float32)
database = (database / np.linalg.norm(database, axis=1, keepdims=True)).astype(np.float16)
index = Approximate.build([database], lists=1024)
assert index.codes[0].index.invlists.compute_ntotal() == len(database), "each in a list"
asked = np.unique(database, axis=0)[:50].astype(np.float32)
found = index.search(asked, 1).similarities[:, 0]
assert (found > 0.998 * np.square(asked).sum(axis=1)).all(), found
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_same_seed_builds_the_same_index():
    one, other, another = (Approximate.build([DATABASE[:2000]], lists=4, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.search(QUERIES, 10).rows, other.search(QUERIES, 10).rows)
    assert np.abs(one.codes[0].rotation - another.codes[0].rotation).max() > 0.01
    np.testing.assert_allclose(one.codes[0].rotation @ one.codes[0].rotation.T, np.eye(DIM), atol=1e-5)


def test_one_query_or_many_at_once_get_the_same_answers(index, monkeypatch):
    together = index.search(QUERIES, 5)
    alone = [index.search(query[None], 5).rows[0].tolist() for query in QUERIES[:40]]
    assert np.mean([set(one) == set(of) for one, of in zip(alone, together.rows.tolist(), strict=False)]) > 0.97
    monkeypatch.setattr(approximate, "QUERIES_AT_ONCE", 7)
    assert shared(index.search(QUERIES, 5), together) > 0.99


def test_it_is_an_index_of_what_can_be_found(index):
    assert isinstance(index, Index)
    assert isinstance(Exact(blocks=[DATABASE]), Index)
    assert len(index) == len(DATABASE)
    assert index.search(QUERIES[:0], 4).rows.shape == (0, 4)


def test_centroids_that_were_learnt_from_other_descriptors_explain_less(index):
    at_first = index.codes[0].unexplained(DATABASE)
    assert at_first == pytest.approx(1 if index.codes[0].lists == 1 else 0.8, abs=0.2)
    assert index.codes[0].unexplained(views(2000, seed=4)) == pytest.approx(at_first, rel=0.05)
    elsewhere = views(2000, seed=4) + 0.8 * np.eye(DIM, dtype=np.float32)[5]
    assert index.codes[0].unexplained(elsewhere / np.linalg.norm(elsewhere, axis=1, keepdims=True)) > 1.3 * at_first


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda index: index.search(QUERIES[:, :8].copy(), 3), "same model"),
        (lambda index: index.search(QUERIES, 0), "top=1 or more"),
        (lambda index: index.search(np.full((1, DIM), np.nan, np.float32), 3), "leave out photos"),
        (lambda index: index.add(np.full((1, DIM), np.inf, np.float16)), "describe its photos again"),
        (lambda index: approximate.replace(index, blocks=(*index.blocks, DATABASE)).add(DATABASE), "code all first"),
        (lambda index: approximate.replace(index, dropped=np.array([3])).save("nowhere"), "which keeps it itself"),
        (lambda index: Approximate.build([np.empty((0, DIM), np.float16)]), "add photos first"),
        (lambda index: Effort(probes=0), "use 1 or more"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_cure(index, make, cure):
    with pytest.raises(ValueError, match=cure):
        make(index)


def test_other_files_and_other_blocks_are_refused(index, tmp_path):
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match="build it again"):
        Approximate.open(tmp_path / "index", [DATABASE[:10]])
    (tmp_path / "index" / "codes.faiss").write_bytes(b"no codes")
    with pytest.raises(ValueError, match="holds no codes"):
        Approximate.open(tmp_path / "index", index.blocks)
    faiss.write_index(faiss.IndexFlatIP(DIM), str(tmp_path / "index" / "codes.faiss"))
    with pytest.raises(ValueError, match="other codes"):
        Approximate.open(tmp_path / "index", index.blocks)


def test_without_faiss_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert not codes.installed()
    with pytest.raises(MissingExtra, match=r"sameplace\[large\]"):
        Approximate.build([DATABASE])


def test_importing_search_loads_no_faiss():
    program = "import sys, sameplace.search, sameplace.atlas; sys.exit('faiss' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", program], check=False).returncode


@pytest.fixture
def benchmark(monkeypatch):
    folder = Path(__file__).parent.parent / "benchmarks"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SAMEPLACE_THREADS"):
        monkeypatch.setenv(name, "1")  # it sets them, for itself alone
    monkeypatch.syspath_prepend(folder)
    return runpy.run_path(str(folder / "search_speed.py"))


@pytest.mark.parametrize("kind", ["drawn", "real"])
def test_a_benchmark_that_goes_on_asks_the_same_queries_as_a_fresh_one(benchmark, tmp_path, kind):
    def source():
        return benchmark["Drawn"](100, 8, 0.9, 0) if kind == "drawn" else benchmark["Real"](views(50, dim=8), 0.6, 0)

    fresh, going_on = source(), source()
    rows = [benchmark["written"](one, 100, tmp_path / "descriptors.npy") for one in (fresh, going_on)]
    np.testing.assert_array_equal(*rows)
    np.testing.assert_array_equal(fresh.queries(9), going_on.queries(9))


def test_a_benchmark_goes_on_in_a_folder_of_its_own_settings_alone(benchmark, tmp_path):
    asked = {"rows": 100, "seed": 0, "lists": None, "photos": None, "dim": 8, "noise": 0.9, "model": "one", "jitter": 0.6}
    settle, settings = benchmark["settle"], benchmark["settings"]
    for photos in (None, tmp_path):
        folder = tmp_path / ("drawn" if photos is None else "real")
        settle(folder, settings(Namespace(**asked | {"photos": photos})))
        settle(folder, settings(Namespace(**asked | {"photos": photos})))
        others = {"seed": 1, "rows": 200, "lists": 7, "photos": tmp_path / "others"}
        others |= {"dim": 9, "noise": 0.5} if photos is None else {"model": "two", "jitter": 0.5}
        for name, value in others.items():
            with pytest.raises(SystemExit, match="ask for the same or name another --folder"):
                settle(folder, settings(Namespace(**asked | {"photos": photos, name: value})))
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "descriptors.npy").write_bytes(b"of whatever settings")
    with pytest.raises(SystemExit, match="does not say of which settings"):
        settle(tmp_path / "older", settings(Namespace(**asked)))


def test_a_benchmark_that_was_broken_off_while_it_saved_builds_again(benchmark, tmp_path, monkeypatch):
    save = Approximate.save

    def broken_off(index, folder):
        save(index, folder)
        (Path(folder) / "codes.faiss").write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(Approximate, "save", broken_off)
    with pytest.raises(KeyboardInterrupt):
        benchmark["built"](DATABASE, tmp_path, None, 0)
    monkeypatch.setattr(Approximate, "save", save)
    for _ in range(2):
        index, seconds = benchmark["built"](DATABASE, tmp_path, None, 0)
        assert len(index) == len(DATABASE)
        assert seconds >= 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["building.json", "index"]


def test_photos_whose_descriptors_were_half_written_are_described_again(benchmark, tmp_path, monkeypatch):
    names = benchmark["described"].__globals__
    monkeypatch.setitem(names, "ImageSet", Namespace(open=lambda *_, **__: Namespace(files=())))
    monkeypatch.setitem(names, "models", Namespace(describer=lambda model: None))
    monkeypatch.setitem(names, "describe", lambda *_: [Namespace(descriptors=QUERIES)])

    def full(file, array):
        Path(file).write_bytes(b"half of it")
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            benchmark["described"](tmp_path, "one", tmp_path / "photos.npy")
    np.testing.assert_array_equal(benchmark["described"](tmp_path, "one", tmp_path / "photos.npy"), QUERIES)
