"""Descriptions do not depend on how the work is cut up, and a bad photo costs nothing but itself."""

import gc
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from PIL import Image

from conftest import TinyDescriber
from sameplace.description import describe
from sameplace.images import read_image


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number:02}.png" for number in range(23)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return paths


def gathered(*answer):
    batches = list(answer)
    return (
        np.concatenate([batch.rows for batch in batches]),
        np.concatenate([batch.descriptors for batch in batches]),
        [failure for batch in batches for failure in batch.failures],
    )


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (4, 3), (16, None), (100, 2)])
def test_descriptors_are_the_same_whatever_the_batch_and_the_workers(photos, tiny_describer, batch, workers):
    rows, descriptors, failures = gathered(*describe(photos, tiny_describer, batch=batch, workers=workers))
    assert rows.tolist() == list(range(23))
    assert not failures
    one_by_one = [next(describe([photo], tiny_describer)).descriptors[0] for photo in photos]
    np.testing.assert_allclose(descriptors, one_by_one, atol=1e-6)


def test_a_bad_photo_becomes_a_failure_and_costs_nothing_else(photos, tiny_describer):
    good = gathered(*describe(photos, tiny_describer, batch=4))[1]
    photos[5].write_bytes(photos[5].read_bytes()[:100])
    photos[8].unlink()
    for photo in photos[12:16]:
        photo.write_text("no image")  # a whole batch of four
    rows, descriptors, failures = gathered(*describe(photos, tiny_describer, batch=4))
    bad = [5, 8, 12, 13, 14, 15]
    assert [failure.path for failure in failures] == [str(photos[row]) for row in bad]
    assert all(failure.reason for failure in failures)
    assert rows.tolist() == [row for row in range(23) if row not in bad]
    np.testing.assert_array_equal(descriptors, good[rows])


def test_photos_in_memory_are_described_like_files(photos, tiny_describer):
    from_files = gathered(*describe(photos[:3], tiny_describer))[1]
    sources = [photo.read_bytes() for photo in photos[:3]]
    np.testing.assert_array_equal(gathered(*describe(sources, tiny_describer))[1], from_files)
    assert gathered(*describe([b"nothing"], tiny_describer))[2][0].path == "image 0"


def test_a_descriptor_that_cannot_be_compared_is_a_failure(photos):
    class Blind(TinyDescriber):
        def describe(self, images):
            descriptors = super().describe(images)
            descriptors[1] = np.nan
            descriptors[2] = 0
            return descriptors

    rows, _, failures = gathered(*describe(photos[:4], Blind()))
    assert rows.tolist() == [0, 3]
    assert [failure.path for failure in failures] == [str(photos[1]), str(photos[2])]
    assert "another model" in failures[0].reason


def threads_end() -> bool:
    """Whether the threads that decode and describe come to an end, each after the photo or the batch that it has in hand."""
    until = time.monotonic() + 30
    while any(thread.name.startswith(("decode", "describe")) for thread in threading.enumerate()):
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def test_decoding_runs_ahead_but_never_far(photos, tiny_describer, monkeypatch):
    begun = []

    def counted(source, size):
        begun.append(source)
        return np.random.default_rng(len(begun)).integers(0, 256, (*size, 3), np.uint8)

    monkeypatch.setattr("sameplace.description.batches.read_image", counted)
    answer = describe(photos * 10, tiny_describer, batch=4, workers=2)
    next(answer)
    while len(begun) < 16 and threading.active_count() > 1:
        time.sleep(0.001)
    time.sleep(0.02)
    assert 16 <= len(begun) <= 17  # the batch given, one in the network, two batches ahead, and the one that pushed it out
    before = {thread.name for thread in threading.enumerate()}
    answer.close()
    assert any(name.startswith("decode") for name in before)
    assert threads_end()
    assert len(begun) <= 17


def test_the_network_works_while_whoever_asked_is_busy_and_its_failure_is_told(photos):
    seen = []

    class Failing(TinyDescriber):
        def describe(self, images):
            seen.append(len(images))
            if len(seen) == 3:
                raise MemoryError("no room")
            return super().describe(images)

    answer = describe(photos, Failing(), batch=4)
    next(answer)
    while len(seen) < 2:  # nobody asks for this one yet
        time.sleep(0.001)
    next(answer)
    with pytest.raises(MemoryError, match="no room"):
        next(answer)
    assert threads_end()


def test_progress_counts_every_photo_good_or_bad(photos, tiny_describer):
    photos[0].write_text("no image")
    heard = []
    list(describe(photos, tiny_describer, batch=10, progress=lambda done, total: heard.append((done, total))))
    assert heard == [(10, 23), (20, 23), (23, 23)]


def test_nothing_to_describe_is_no_batch_at_all(tiny_describer):
    assert list(describe([], tiny_describer)) == []


def test_an_empty_batch_is_refused_with_its_cure(tiny_describer):
    with pytest.raises(ValueError, match="use 1 or more"):
        next(describe(["photo.jpg"], tiny_describer, batch=0))


def test_who_is_left_to_the_garbage_collector_holds_nobody_up(photos, tiny_describer, monkeypatch):
    """It runs in any thread at any time: here in the network's own, while it hands out a photo to be decoded."""
    collect = threading.Event()
    plain = Future.__init__

    def collecting(self):
        plain(self)
        if collect.is_set() and threading.current_thread().name.startswith("describe"):
            collect.clear()
            gc.collect()

    class Holder:
        pass

    def slowly(source, size):
        time.sleep(0.005)
        return read_image(source, size)

    monkeypatch.setattr("sameplace.description.batches.read_image", slowly)
    monkeypatch.setattr(Future, "__init__", collecting)
    holder = Holder()
    holder.itself, holder.answer = holder, describe(photos * 20, tiny_describer, batch=4, workers=2)
    next(holder.answer)
    gc.disable()
    try:
        del holder
        collect.set()
        assert threads_end()
    finally:
        gc.enable()
    assert not collect.is_set()
