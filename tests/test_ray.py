"""Description on a Ray cluster: every photo counts once, whoever dies meanwhile, and descriptors are those of one machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import TinyDescriber
from sameplace.atlas import Atlas
from sameplace.description import Cluster, describe
from sameplace.errors import SameplaceError
from test_atlas import draw

ray = pytest.importorskip("ray", reason="Ray is an extra: pip install 'sameplace[ray]'")

# Ray leaves sockets and processes to the garbage collector.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Mortal(TinyDescriber):
    """Ends its process at the first photo, or at every photo, of some colour; each death leaves a file."""

    def __init__(self, deaths: Path, victim: int, times: int) -> None:
        self.deaths, self.victim, self.times = str(deaths), victim, times

    def describe(self, images):
        for image in images:
            if int(image[0, 0, 0]) == self.victim and len(list(Path(self.deaths).iterdir())) < self.times:
                Path(self.deaths, str(os.getpid())).touch()
                os._exit(1)
        return super().describe(images)


@pytest.fixture(scope="module")
def cluster():
    """A Ray on this machine."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[TinyDescriber.__module__])
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield "ray://local"
    ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    """Forty photos, every one of another colour on the left, and two that are none."""
    from PIL import Image

    folder = tmp_path / "photos"
    draw(folder, [f"{number:02d}.png" for number in range(40)])
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        image = np.array(Image.open(path))
        image[:, :8] = number
        Image.fromarray(image).save(path)
    (folder / "07.png").write_bytes(b"no image")
    (folder / "23.png").write_bytes((folder / "22.png").read_bytes()[:700])
    return sorted(folder.glob("*.png"))


def gathered(batches):
    """Descriptors by row, and reasons by path; fails where a row comes twice or out of order."""
    descriptors, reasons, rows = {}, {}, []
    for batch in batches:
        rows += batch.rows.tolist()
        descriptors |= dict(zip(batch.rows.tolist(), batch.descriptors, strict=True))
        reasons |= {problem.path: problem.reason for problem in batch.failures}
    assert rows == sorted(set(rows))
    return descriptors, reasons


def same(found, wanted):
    assert found[1] == wanted[1]
    assert list(found[0]) == list(wanted[0])
    for row, descriptor in wanted[0].items():
        np.testing.assert_array_equal(found[0][row], descriptor)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_descriptors_are_those_of_one_machine_whatever_the_batch(cluster, photos, batch):
    wanted = gathered(describe(photos, TinyDescriber()))
    with Cluster(cluster, TinyDescriber()) as machines:
        same(gathered(machines.describe(photos, batch=batch)), wanted)
        same(gathered(machines.describe(photos, batch=batch)), wanted)
    assert len(wanted[0]) == 38


def test_an_actor_that_dies_in_mid_batch_costs_nothing(cluster, photos, tmp_path):
    (tmp_path / "deaths").mkdir()
    with Cluster(cluster, Mortal(tmp_path / "deaths", victim=20, times=2)) as machines:
        found = gathered(machines.describe(photos, batch=4))
    assert len(list((tmp_path / "deaths").iterdir())) == 2
    same(found, gathered(describe(photos, TinyDescriber())))


def test_an_actor_that_is_killed_from_outside_costs_nothing(cluster, photos):
    with Cluster(cluster, TinyDescriber(), actors=2) as machines:
        batches = machines.describe(photos, batch=2)
        first = next(batches)
        ray.kill(machines._workers[0].handle)
        found = gathered([first, *batches])
    same(found, gathered(describe(photos, TinyDescriber())))


def test_a_photo_that_kills_every_actor_is_left_out_and_costs_nothing_else(cluster, photos, tmp_path):
    (tmp_path / "deaths").mkdir()
    with Cluster(cluster, Mortal(tmp_path / "deaths", victim=20, times=1000), actors=1) as machines:
        descriptors, reasons = gathered(machines.describe(photos, batch=4))
    wanted = gathered(describe(photos, TinyDescriber()))
    assert set(wanted[0]) - set(descriptors) == {20}
    assert "dies, 3 times by itself" in reasons[str(photos[20])]


def test_an_atlas_of_a_cluster_is_that_of_one_machine_though_an_actor_dies(cluster, photos, tmp_path):
    (tmp_path / "deaths").mkdir()
    folder = photos[0].parent
    alone = Atlas.build(folder, at=tmp_path / "alone", model=TinyDescriber())
    mortal = Mortal(tmp_path / "deaths", victim=30, times=1)
    together = Atlas.build(folder, at=tmp_path / "together", model=mortal, workers=cluster, commit_every=15)
    assert len(list((tmp_path / "deaths").iterdir())) == 1
    paths = [[entry.path for _, entry in atlas._snapshot.entries()] for atlas in (alone, together)]
    assert paths[0] == paths[1] == sorted(set(paths[0]))
    rows = alone._snapshot.rows()
    np.testing.assert_array_equal(together._snapshot.descriptors(rows), alone._snapshot.descriptors(rows))
    assert together.add(folder, workers=cluster).added == 0


def test_a_photo_that_only_this_machine_sees_is_told_with_its_cure(cluster, photos, monkeypatch):
    with Cluster(cluster, TinyDescriber()) as machines:
        seen = os.path.lexists
        monkeypatch.setattr("os.path.lexists", lambda path: "elsewhere" in str(path) or seen(path))
        with pytest.raises(SameplaceError, match="mount its folder under the same path on all machines"):
            list(machines.describe([photos[0], photos[0].parent / "elsewhere.jpg"]))


def test_the_command_line_describes_on_a_cluster_of_its_own_with_the_published_model(tmp_path):
    draw(tmp_path / "photos", [f"{number}.jpg" for number in range(6)])
    run = [sys.executable, "-m", "sameplace", "index", tmp_path / "photos", "--json", "--no-cache", "--runtime", "onnxruntime"]
    ends = [
        subprocess.run([*run, "--to", tmp_path / name, *more], check=False, capture_output=True, text=True, timeout=300)
        for name, more in (("alone", []), ("together", ["--workers", "ray://local"]))
    ]
    assert [end.returncode for end in ends] == [0, 0], ends[1].stderr
    assert json.loads(ends[1].stdout)["added"] == 6
    atlases = [Atlas.open(tmp_path / name)._snapshot for name in ("alone", "together")]
    descriptors = [atlas.descriptors(atlas.rows()).astype(np.float32) for atlas in atlases]
    assert np.min(np.sum(descriptors[0] * descriptors[1], axis=1)) > 0.9999


def test_a_cluster_that_is_not_there_is_told():
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from sameplace.description import Cluster; from sameplace import models; Cluster('ray://localhost:1', "
            "models.describer()).__enter__()",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "There is no Ray cluster at ray://localhost:1" in told.stderr
