"""Descriptors are computed once; whatever happens to the cache costs time, and never a figure."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import TinyDescriber
from sameplace.datasets import Dataset, WithinFrames
from sameplace.description import DescriptorCache, default_folder, describe, store
from sameplace.description.store import FILE, Store
from sameplace.errors import SameplaceError
from sameplace.evaluation import evaluate
from sameplace.images import ImageRecord, View

NOISE = np.random.default_rng(0)


class Counting(TinyDescriber):
    """Counts what it is asked for."""

    def __init__(self, identity="tiny-1", precision="float32"):
        self.identity, self.precision, self.images = identity, precision, 0

    def describe(self, images):
        self.images += len(images)
        return super().describe(images)


def photo(path, suffix_pixels=(40, 50, 3)):
    Image.fromarray(NOISE.integers(0, 256, suffix_pixels, np.uint8)).save(path)
    os.utime(path, ns=(10**18, 10**18))  # long ago, so that it counts as settled
    return path


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    return [photo(tmp_path / "photos" / f"{number:02}.png") for number in range(23)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def asked(cache, sources, describer, **options):
    parts = list(cache.describe(sources, describer, **options))
    return (
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.descriptors for part in parts]),
        [failure for part in parts for failure in part.failures],
    )


def plainly(sources, describer):
    parts = list(describe(sources, describer))
    return np.concatenate([part.descriptors for part in parts])


def database(folder):
    return sqlite3.connect(folder / FILE, isolation_level=None)


def test_a_second_time_nothing_is_computed_and_every_bit_is_the_same(photos, folder):
    first, second = Counting(), Counting()
    rows, descriptors, failures = asked(DescriptorCache(folder), photos, first)
    again = asked(DescriptorCache(folder), photos, second)
    assert (first.images, second.images) == (23, 0)
    assert rows.tolist() == again[0].tolist() == list(range(23))
    np.testing.assert_array_equal(descriptors, again[1])
    np.testing.assert_array_equal(descriptors, plainly(photos, TinyDescriber()))
    assert failures == again[2] == []


def test_a_figure_with_the_cache_is_the_figure_without_it(photos, folder):
    images = tuple(ImageRecord(path=path) for path in photos)
    walk = Dataset(name="walk", database=images[:12], queries=images[10:22], truth=WithinFrames(1))
    plain = evaluate(TinyDescriber(), walk)
    for images_described in (22, 0):
        describer = Counting()
        report = evaluate(describer, walk, cache=DescriptorCache(folder))
        assert (report.recall, report.answers.to_json()) == (plain.recall, plain.answers.to_json())
        assert describer.images == images_described


@pytest.mark.parametrize("change", [{"identity": "tiny-2"}, {"precision": "float16"}])
def test_another_model_or_precision_is_described_anew(photos, folder, change):
    asked(DescriptorCache(folder), photos, Counting())
    other = Counting(**change)
    asked(DescriptorCache(folder), photos, other)
    assert other.images == 23


def test_a_moved_or_copied_photo_is_not_described_again(photos, folder):
    asked(DescriptorCache(folder), photos, Counting())
    moved = photos[3].rename(photos[3].with_name("moved.png"))
    copy = photos[3].with_name("copy.png")
    copy.write_bytes(photos[4].read_bytes())
    describer = Counting()
    descriptors = asked(DescriptorCache(folder), [moved, copy, photos[4].read_bytes()], describer)[1]
    assert describer.images == 0
    np.testing.assert_array_equal(descriptors[1], descriptors[2])


def test_copies_of_a_new_photo_are_described_once_and_fail_together(photos, folder):
    copy = photos[0].with_name("copy.png")
    copy.write_bytes(photos[0].read_bytes())
    broken = [photos[0].with_name(name) for name in ("broken.png", "as broken.png")]
    for path in broken:
        path.write_bytes(b"no image")
    describer = Counting()
    rows, descriptors, failures = asked(DescriptorCache(folder), [photos[0], copy, *broken], describer)
    assert (rows.tolist(), describer.images) == ([0, 1], 1)
    np.testing.assert_array_equal(descriptors[0], descriptors[1])
    assert [failure.path for failure in failures] == [str(path) for path in broken]


def test_a_changed_photo_is_described_again(photos, folder):
    before = asked(DescriptorCache(folder), photos[:1], Counting())[1]
    photo(photos[0])  # other pixels; size and time of change may be as before
    os.utime(photos[0], ns=(10**18 + 1, 10**18 + 1))
    after = asked(DescriptorCache(folder), photos[:1], Counting())[1]
    assert np.abs(before - after).max() > 0.01
    np.testing.assert_array_equal(after, plainly(photos[:1], TinyDescriber()))


def test_an_unchanged_file_is_not_read_again_and_a_fresh_one_is(photos, folder, monkeypatch):
    os.utime(photos[0])
    read = []
    from sameplace.description import cache

    monkeypatch.setattr(cache, "_content", lambda stamp, real=cache._content: read.append(stamp.path) or real(stamp))
    asked(DescriptorCache(folder), photos, Counting())
    assert len(read) == 23
    read.clear()
    asked(DescriptorCache(folder), photos, Counting())
    assert read == [str(photos[0])], "it may still be changing within the tick of its clock"


def test_views_of_one_photo_are_kept_apart(photos, folder):
    box = (0.0, 0.0, 20.0, 20.0)
    views = [
        photos[0],
        View(path=photos[0], box=box),
        View(path=photos[0], turns=1),
        View(path=photos[0], box=box, turns=2),
        View(path=photos[0], turns=4),
    ]
    describer = Counting()
    descriptors = asked(DescriptorCache(folder), views, describer)[1]
    assert describer.images == 4, "turned four times is not turned"
    np.testing.assert_array_equal(descriptors, plainly(views, TinyDescriber()))
    again = Counting()
    np.testing.assert_array_equal(asked(DescriptorCache(folder), views, again)[1], descriptors)
    assert again.images == 0


def test_bad_photos_are_told_as_without_a_cache(photos, folder):
    photos[5].write_bytes(photos[5].read_bytes()[:100])
    photos[8].unlink()
    sources = [*photos, b"nothing"]
    plain = [failure for part in describe(sources, TinyDescriber()) for failure in part.failures]
    for _ in range(2):
        rows, _descriptors, failures = asked(DescriptorCache(folder), sources, Counting(), batch=4)
        assert failures == plain
        assert rows.tolist() == [row for row in range(23) if row not in (5, 8)]


def test_progress_counts_all_photos_known_or_not(photos, folder):
    asked(DescriptorCache(folder), photos[:10], Counting())
    heard = []
    asked(DescriptorCache(folder), photos, Counting(), batch=5, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(10, 23), (15, 23), (20, 23), (23, 23)]


def test_order_holds_across_many_spans(photos, folder, monkeypatch):
    monkeypatch.setattr("sameplace.description.cache.SPAN", 5)
    rows, descriptors, _ = asked(DescriptorCache(folder), photos, Counting())
    assert rows.tolist() == list(range(23))
    np.testing.assert_array_equal(descriptors, plainly(photos, TinyDescriber()))


def test_what_was_described_before_an_interruption_is_kept(photos, folder, monkeypatch):
    monkeypatch.setattr("sameplace.description.cache.SPAN", 5)
    walk = DescriptorCache(folder).describe(photos, Counting())
    next(walk)
    next(walk)
    walk.close()
    rest = Counting()
    asked(DescriptorCache(folder), photos, rest)
    assert rest.images == 13


@pytest.mark.parametrize("column", ["numbers", "checksum"])
def test_a_spoilt_descriptor_is_computed_again(photos, folder, column):
    good = asked(DescriptorCache(folder), photos, Counting())[1]
    value = "zeroblob(768)" if column == "numbers" else "7"
    with database(folder) as connection:
        connection.execute(f"UPDATE descriptors SET {column} = {value} WHERE descriptor = 4")
    connection.close()
    for images in (1, 0):
        describer = Counting()
        np.testing.assert_array_equal(asked(DescriptorCache(folder), photos, describer)[1], good)
        assert describer.images == images


def test_a_descriptor_that_lies_under_another_photo_is_not_taken(photos, folder):
    good = asked(DescriptorCache(folder), photos, Counting())[1]
    connection = database(folder)
    connection.execute("UPDATE entries SET descriptor = CASE descriptor WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE descriptor END")
    connection.execute("UPDATE files SET content = (SELECT max(content) FROM files)")
    connection.close()
    describer = Counting()
    np.testing.assert_array_equal(asked(DescriptorCache(folder), photos, describer)[1], good)
    assert describer.images == 2


@pytest.mark.parametrize("damage", ["foreign", "cut", "torn", "tables"])
def test_a_broken_file_is_put_away_and_filled_again(photos, folder, damage):
    good = asked(DescriptorCache(folder), photos, Counting())[1]
    path = folder / FILE
    content = path.read_bytes()
    if damage == "foreign":
        path.write_bytes(b"something else, not a database at all" * 1000)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "torn":
        path.write_bytes(content[:16_384] + b"\x99" * (len(content) - 16_384))
    else:
        connection = database(folder)
        connection.execute("DROP TABLE entries")
        connection.close()
    np.testing.assert_array_equal(asked(DescriptorCache(folder), photos, Counting())[1], good)
    describer = Counting()
    np.testing.assert_array_equal(asked(DescriptorCache(folder), photos, describer)[1], good)
    assert describer.images == 0


def test_a_full_disk_costs_the_cache_alone_and_is_told_once(photos, folder, monkeypatch):
    asked(DescriptorCache(folder), photos[:10], Counting())
    real = store._transaction

    def full(connection):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return real(connection)

    monkeypatch.setattr(store, "_transaction", full)
    monkeypatch.setattr("sameplace.description.cache.SPAN", 5)
    big = [photo(photos[0].with_name(f"more {number}.png")) for number in range(60)]
    told, describer = [], Counting()
    cache = DescriptorCache(folder, notice=told.append)
    descriptors = asked(cache, [*photos[:10], *big], describer)[1]
    np.testing.assert_array_equal(descriptors, plainly([*photos[:10], *big], TinyDescriber()))
    assert describer.images == 60, "what was there before is still used"
    asked(cache, big, describer)
    assert len(told) == 1
    assert "full" in told[0]
    assert "SAMEPLACE_CACHE" in told[0]


def test_a_folder_that_cannot_be_made_costs_the_cache_alone_and_warns(photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="cannot be kept in .*file") as warned:
        descriptors = asked(DescriptorCache(tmp_path / "file"), photos, Counting())[1]
    assert len(warned) == 1
    np.testing.assert_array_equal(descriptors, plainly(photos, TinyDescriber()))


def test_the_least_recently_used_descriptors_make_room(photos, folder, monkeypatch):
    clock = [1_000_000.0]
    monkeypatch.setattr(store.time, "time", lambda: clock[0])
    monkeypatch.setattr(store, "EVICTED_AT_ONCE", 1)
    limit = 1_000_000
    opened = Store(folder, limit, pytest.fail)
    for number in range(200):
        clock[0] += 5000
        opened.write("model", [(bytes([number]) * 16, np.full(4096, number, "<f4").tobytes())])
        opened.read("model", [bytes(16)], 4096)  # the first one is asked for again and again
        assert (folder / FILE).stat().st_size <= limit * 1.05
    descriptors, known = opened.read("model", [bytes([number]) * 16 for number in range(200)], 4096)
    opened.close()
    kept = np.flatnonzero(known).tolist()
    assert kept[0] == 0
    assert 20 < len(kept) < 61
    assert kept[1:] == list(range(200 - len(kept) + 1, 200))
    np.testing.assert_array_equal(descriptors[kept, 0], kept)


def test_a_model_larger_than_the_limit_is_no_error(photos, folder):
    cache = DescriptorCache(folder, limit_bytes=1)
    for _ in range(2):
        np.testing.assert_array_equal(asked(cache, photos, Counting())[1], plainly(photos, TinyDescriber()))


def test_ten_thousand_descriptors_are_read_in_well_under_a_second(folder):
    dim, contents = 1024, [number.to_bytes(16, "big") for number in range(10_000)]
    numbers = np.arange(dim, dtype="<f4").tobytes()
    opened = Store(folder, 10**9, pytest.fail)
    opened.write("model", [(content, numbers) for content in contents])
    opened.close()
    start = time.perf_counter()
    descriptors, known = Store(folder, 10**9, pytest.fail).read("model", contents, dim)
    assert time.perf_counter() - start < 1
    assert known.all()
    assert descriptors[9_999, 17] == 17


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from conftest import TinyDescriber
from sameplace.datasets import Dataset, WithinFrames
from sameplace.description import DescriptorCache
def fail(sentence): raise SystemExit(sentence)
photos = sorted(Path(sys.argv[2]).glob("*.png"))
for turn in range(8):
    cache = DescriptorCache(sys.argv[1], notice=fail)
    describer = TinyDescriber()
    describer.identity = f"tiny-{turn}"
    assert sum(len(part.rows) for part in cache.describe(photos, describer)) == len(photos)
"""


def test_processes_share_a_cache_from_its_first_moment(photos, folder):
    start = [sys.executable, "-c", WORKER, str(folder), str(photos[0].parent), str(Path(__file__).parent)]
    workers = [subprocess.Popen(start, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [worker.communicate(timeout=60)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], said
    connection = database(folder)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("entries", "descriptors", "files")]
    connection.close()
    assert counts == [8 * 23, 8 * 23, 23]


def test_the_folder_is_that_of_the_system_or_the_one_named(monkeypatch, tmp_path):
    monkeypatch.delenv("SAMEPLACE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, place in (("linux", ".cache/sameplace"), ("darwin", "Library/Caches/sameplace")):
        monkeypatch.setattr(sys, "platform", platform)
        assert default_folder() == tmp_path / place
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_folder() == tmp_path / "local" / "sameplace" / "Cache"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert DescriptorCache().folder == tmp_path / "xdg" / "sameplace"
    monkeypatch.setenv("SAMEPLACE_CACHE", str(tmp_path / "named"))
    assert DescriptorCache().folder == tmp_path / "named"
    assert DescriptorCache(tmp_path / "told").folder == tmp_path / "told"


def test_without_a_home_the_cure_is_told(monkeypatch):
    monkeypatch.delenv("SAMEPLACE_CACHE", raising=False)

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(SameplaceError, match="SAMEPLACE_CACHE"):
        default_folder()


def test_a_file_whose_time_was_set_back_is_read_again(tmp_path):
    """As when archives are unpacked over one another: same path, same size, same time of change, other pixels."""
    photo = tmp_path / "photo.bmp"
    cache = DescriptorCache(tmp_path / "cache")
    described = []
    for seed in (0, 1):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photo)
        os.utime(photo, (1e9, 1e9))
        (batch,) = cache.describe([photo], TinyDescriber())
        described.append(batch.descriptors[0])
    assert not np.allclose(described[0], described[1])
