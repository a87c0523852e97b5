"""What a Ray cluster is asked, and what is done when it fails: a Ray of plain calls stands in for it."""

import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import TinyDescriber
from sameplace import models
from sameplace.atlas import Atlas
from sameplace.description import Cluster, actor, cluster, describe, is_cluster
from sameplace.description.actor import Actor, Parcel
from sameplace.errors import MissingExtra, SameplaceError


class Death(BaseException):
    """Ends an actor."""


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


class Handle:
    """An actor, called by name as Ray's are: each call gives a reference at once."""

    def __init__(self, fake, kind, given):
        self.fake, self.alive = fake, True
        try:
            self.actor = kind(*given)
        except Death:
            self.alive = False

    def __getattr__(self, name):
        def remote(*arguments):
            return self.fake.later(self, name, arguments)

        return SimpleNamespace(remote=remote)


class FakeRay:
    """Runs what is asked when it is waited for, in any order that `order` chooses; writes down what was asked."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, order=lambda count: 0, **resources):
        self.order, self.resources = order, resources
        self.calls, self.options, self.joined, self.most = {}, [], [], 0

    def is_initialized(self):
        return False

    def init(self, **given):
        self.joined.append(given)

    def shutdown(self):
        self.joined.append("left")

    def cluster_resources(self):
        return self.resources

    def put(self, value):
        return value

    def remote(self, **options):
        self.options.append(options)
        return lambda kind: SimpleNamespace(remote=lambda *given: Handle(self, kind, given))

    def later(self, handle, name, arguments):
        reference = object()
        self.calls[reference] = (handle, name, arguments)
        self.most = max(self.most, sum(len(given[0]) for _, called, given in self.calls.values() if called == "describe"))
        return reference

    def wait(self, references, num_returns, timeout):
        assert references
        return [references[self.order(len(references))]], []

    def get(self, reference):
        handle, name, arguments = self.calls.pop(reference)
        if not handle.alive:
            raise RayError("the actor is dead\nModuleNotFoundError: No module named 'sameplace'")
        try:
            return getattr(handle.actor, name)(*arguments)
        except Death:
            handle.alive = False
            raise RayError("it died") from None
        except Exception as error:
            raise RayTaskError(error) from error

    def kill(self, handle):
        handle.alive = False

    def cancel(self, reference):
        self.calls.pop(reference)


@pytest.fixture
def on(monkeypatch):
    """Put a Ray in the place of the real one."""

    def put(**given):
        fake = FakeRay(**given)
        monkeypatch.setitem(sys.modules, "ray", fake)
        monkeypatch.setitem(sys.modules, "ray.cloudpickle", pickle)
        return fake

    return put


def colours(count):
    """Photos in memory, each of its own colour."""
    from io import BytesIO

    from PIL import Image

    photos = []
    for number in range(count):
        stream = BytesIO()
        pixels = np.full((32, 32, 3), 200, np.uint8)
        pixels[:, :8] = number
        Image.fromarray(pixels).save(stream, "png")
        photos.append(stream.getvalue())
    return photos


class Fragile(TinyDescriber):
    """Dies at photos of some colours, as often as told."""

    deaths = {}  # noqa: RUF012  (shared by all copies, as a file would be)

    def describe(self, images):
        for colour in images[:, 0, 0, 0].tolist():
            if Fragile.deaths.get(colour, 0):
                Fragile.deaths[colour] -= 1
                raise Death
        return super().describe(images)


@settings(deadline=None, max_examples=40)
@given(
    deaths=st.dictionaries(st.integers(0, 11), st.sampled_from([1, 2, 1000]), max_size=3),
    batch=st.integers(1, 8),
    cores=st.integers(1, 3),
    data=st.data(),
)
def test_whoever_dies_and_whatever_comes_first_every_photo_counts_once_and_in_order(deaths, batch, cores, data):
    photos = colours(12)
    fake = FakeRay(order=lambda count: data.draw(st.integers(0, count - 1)), CPU=cores)
    Fragile.deaths = dict(deaths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", fake)
        patch.setitem(sys.modules, "ray.cloudpickle", pickle)
        with Cluster("ray://local", Fragile()) as machines:
            batches = list(machines.describe(photos, batch=batch))
    rows = [row for found in batches for row in found.rows.tolist()]
    failed = {problem.path for found in batches for problem in found.failures}
    assert rows == sorted(set(rows))
    assert failed == {f"image {colour}" for colour, times in deaths.items() if times == 1000}
    assert len(rows) + len(failed) == 12
    wanted = next(describe(photos, TinyDescriber(), batch=12)).descriptors
    np.testing.assert_array_equal(np.concatenate([found.descriptors for found in batches]), wanted[rows])
    assert fake.most <= (cluster.AHEAD * cores + 1) * batch


def test_no_more_than_a_few_batches_are_begun_before_the_first_is_taken(on):
    fake = on(CPU=2)
    with Cluster("ray://auto", TinyDescriber()) as machines:
        next(machines.describe(colours(60), batch=2))
        assert fake.most <= 2 * 2 * cluster.AT_A_TIME
        assert fake.joined == [{"address": "auto", "log_to_driver": False, "logging_level": "ERROR"}]
    assert fake.joined[-1] == "left"


def test_each_core_gets_an_actor_of_one_thread_or_each_gpu_one_with_its_share_of_cores(on, monkeypatch):
    monkeypatch.setenv("SAMEPLACE_THREADS", "1")
    fake = on(CPU=3.0)
    with Cluster("ray://head:10001", TinyDescriber()) as machines:
        assert len(list(machines.describe(colours(3)))) == 1
    assert fake.options == 3 * [{"num_cpus": 1, "num_gpus": 0}]
    assert fake.joined[0] == {"address": "ray://head:10001"}
    fake = on(CPU=3.0)
    with Cluster("ray://head:10001?actors=2", TinyDescriber()):
        assert fake.joined[0] == {"address": "ray://head:10001"}
    assert len(fake.options) == 2
    with pytest.raises(SameplaceError, match=r"\?actors= and a number of actors, 1 or more, got \?actors=0"):
        Cluster("ray://head:10001?actors=0", TinyDescriber())
    moved = []
    monkeypatch.setattr(TinyDescriber, "to", lambda self, device: moved.append(device) or self, raising=False)
    fake = on(CPU=64.0, GPU=2.0)
    with Cluster("ray://head:10001", TinyDescriber()):
        pass
    assert fake.options == 2 * [{"num_cpus": 8, "num_gpus": 1}]
    assert moved == ["cuda", "cuda"]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_model_that_cannot_be_pickled_goes_as_its_files(on, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an extra: pip install 'sameplace[fast]'")
    on(CPU=1)
    parcel = Parcel.of(models.describer(runtime=runtime), models.DEFAULT_MODEL)
    assert parcel.main == f"{models.DEFAULT_MODEL}.safetensors"
    assert {Path(name).suffix for name in parcel.files} >= {".safetensors", ".onnx"}
    opened = pickle.loads(pickle.dumps(parcel)).open(on_gpu=False)
    again = parcel.open(on_gpu=False)
    images = np.random.default_rng(0).integers(0, 256, (1, *opened.size, 3), np.uint8)
    wanted = models.describer(runtime=runtime, threads=1)
    assert (opened.identity, opened.runtime) == (wanted.identity, runtime)
    np.testing.assert_allclose(opened.describe(images), wanted.describe(images), atol=1e-4)
    np.testing.assert_array_equal(again.describe(images), opened.describe(images))


def test_machines_with_another_sameplace_are_refused(on, monkeypatch):
    on(CPU=1)
    monkeypatch.setattr(actor, "__version__", "0.0.1")
    introduction = Actor(Parcel.of(TinyDescriber(), "tiny"), 1, False).introduce()
    monkeypatch.undo()
    with pytest.raises(SameplaceError, match=r"with sameplace 0\.0\.1 in float32 \(tiny-1\), and .* was wanted; install the same"):
        actor.check(introduction, TinyDescriber())


class Stillborn(TinyDescriber):
    def __reduce__(self):
        return _die, ()


def _die():
    raise Death


def test_actors_that_cannot_start_are_told_and_not_tried_for_ever(on):
    fake = on(CPU=2)
    with (
        pytest.raises(
            SameplaceError, match=r"died \d+ times in a row \(ModuleNotFoundError: .*is sameplace installed on all machines"
        ),
        Cluster("ray://local", Stillborn()) as machines,
    ):
        list(machines.describe(colours(1)))
    assert len(fake.options) < 12


class Wrong(TinyDescriber):
    def describe(self, images):
        raise SameplaceError("the disk of the worker is full; make room")


def test_an_error_is_told_as_it_was_said_there(on):
    on(CPU=1)
    with pytest.raises(SameplaceError, match="the disk of the worker is full"), Cluster("ray://local", Wrong()) as machines:
        list(machines.describe(colours(2)))


def test_the_runtimes_of_the_machines_are_recorded_in_the_atlas(on, tmp_path, monkeypatch):
    from test_atlas import draw

    on(CPU=1)
    draw(tmp_path / "photos", ["a.jpg", "b.jpg"])
    monkeypatch.setattr(Actor, "introduce", lambda self: _elsewhere(introduce(self)))
    Atlas.build(tmp_path / "photos", at=tmp_path / "atlas", model=TinyDescriber(), workers="ray://auto")
    assert Atlas.open(tmp_path / "atlas").summary()["runtimes"] == ["numpy on a GPU"]


introduce = Actor.introduce


def _elsewhere(introduction):
    from dataclasses import replace

    return replace(introduction, runtime="numpy on a GPU")


def test_what_is_no_cluster_is_refused_and_a_missing_ray_named(monkeypatch, tmp_path):
    assert [is_cluster(workers) for workers in (None, 2, "ray://auto", "http://auto")] == [False, False, True, False]
    with pytest.raises(ValueError, match=r"A number of threads or ray://HOST:PORT was wanted, got workers='4'"):
        Atlas.build(tmp_path, at=tmp_path / "atlas", model=TinyDescriber(), workers="4")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'sameplace\[ray\]'"), Cluster("ray://auto", TinyDescriber()):
        pass
