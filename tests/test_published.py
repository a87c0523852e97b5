"""The models that sameplace publishes: what they weigh, what they say of themselves, and that every runtime agrees."""

from pathlib import Path

import numpy as np
import pytest

from sameplace import models
from sameplace.images import read_image
from sameplace.modelfile import read_header
from sameplace.network.encoder import Encoder
from sameplace.network.encoder import identity as identity_of

PINNED = Path(__file__).parent / "pinned"
# One part in a thousand of a descriptor's length: float32 sums taken in another order stay below a hundredth of that.
TOLERANCE = 1e-3
LARGEST_MEGABYTES = {"efficientnet-lite0-vlad": 10, "efficientnet-lite0-netvlad": 10, "vgg16-vlad": 65}
NAMES = [model.name for model in models.published()]


def photos() -> list[Path]:
    return sorted(PINNED.glob("*.jpg"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_every_runtime_gives_the_pinned_descriptors(name: str, runtime: str) -> None:
    pinned = np.load(PINNED / f"{name}.npy")
    describer = models.describer(name, runtime=runtime)
    assert len(photos()) == len(pinned) == 20
    descriptors = describer.describe(np.stack([read_image(photo, describer.size) for photo in photos()]))
    assert np.linalg.norm(descriptors - pinned, axis=1).max() < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_a_published_model_is_as_small_as_promised_and_has_its_card(name: str) -> None:
    path = models.find(name)
    published = next(model for model in models.published() if model.name == name)
    assert path.stat().st_size / 1e6 == pytest.approx(published.megabytes, abs=0.1)
    assert path.stat().st_size < LARGEST_MEGABYTES[name] * 1e6
    assert path.with_suffix(".onnx").stat().st_size < 200_000, "weights exist once, in the model file"
    card = read_header(path)["card"]
    assert card["name"] == name
    assert {"licence", "source", "learnt_on", "summary"} <= card.keys()
    text = (path.parent / "CARD.md").read_text()
    assert card["licence"] in text
    assert read_header(path)["identity"] in text


@pytest.mark.parametrize("name", NAMES)
def test_the_identity_in_the_header_is_that_of_the_weights(name: str) -> None:
    path = models.find(name)
    encoder = Encoder.load(path)
    assert encoder.identity == read_header(path)["identity"]
    assert identity_of(read_header(path)["architecture"], dict(encoder.state_dict())) == encoder.identity


def test_the_default_model_comes_with_the_package() -> None:
    assert models.installed(models.DEFAULT_MODEL) is not None
    assert models.describer().name == models.DEFAULT_MODEL
