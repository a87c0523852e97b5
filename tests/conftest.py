"""What several tests share: a describer that needs no model, and the folder of real photos."""

import os
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings

from sameplace.shapes import Array, Float32, UInt8

# The same examples in every run of CI, so that a failure there can be had again; elsewhere new ones every time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


class TinyDescriber:
    """Describes an image by the mean colours of an 8 x 8 grid, centred: quick, exact, and different for different images."""

    name = "tiny"
    identity = "tiny-1"
    dim = 192
    size = (32, 32)
    runtime = "numpy"
    precision = "float32"

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        cells = images.reshape(len(images), 8, 4, 8, 4, 3).mean(axis=(2, 4), dtype=np.float32).reshape(len(images), self.dim)
        centred = cells - cells.mean(axis=1, keepdims=True)
        centred[np.ptp(cells, axis=1) < 1e-3] = 1  # an image of one colour has no direction of its own
        return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test finds descriptors that another one, or its user, has left."""
    monkeypatch.setenv("SAMEPLACE_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{uuid4().hex}"))


@pytest.fixture
def tiny_describer() -> TinyDescriber:
    return TinyDescriber()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real photos, for tests marked `data`."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SAMEPLACE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"there are no real photos at {folder}; let SAMEPLACE_DATA name their folder")
    return folder
