"""The published models: what they are called, what they are for, and which installed folder each lies in."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from sameplace.errors import ModelError

DEFAULT_MODEL = "efficientnet-lite0-vlad"
# Distributions that carry a model name their package here: [project.entry-points."sameplace.models"] name = "package".
ENTRY_POINTS = "sameplace.models"
MODEL_SUFFIXES = (".safetensors", ".onnx", ".xml")
"""Model files, and what `sameplace export` writes."""


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """A model that can be had by name."""

    name: str
    summary: str
    distribution: str
    """What to install for it."""
    megabytes: float


PUBLISHED = (
    PublishedModel(
        name="efficientnet-lite0-vlad",
        summary="small and quick: EfficientNet-Lite0, VLAD, whitened; not trained for places yet",
        distribution="sameplace",
        megabytes=8.9,
    ),
    PublishedModel(
        name="efficientnet-lite0-netvlad",
        summary="as small and quick, trained for places: EfficientNet-Lite0, NetVLAD, whitened",
        distribution="sameplace-efficientnet-lite0-netvlad",
        megabytes=8.9,
    ),
    PublishedModel(
        name="vgg16-vlad",
        summary="the trunk of the paper, far slower: VGG-16 conv5_3, VLAD, whitened; not trained for places yet",
        distribution="sameplace-vgg16-vlad",
        megabytes=63.1,
    ),
)


def published() -> tuple[PublishedModel, ...]:
    """Every model that sameplace publishes, installed or not."""
    return PUBLISHED


def installed(name: str) -> Path | None:
    """The .safetensors file of a model by name, or None where its distribution is not installed."""
    path = Path(__file__).parent / "published" / name / f"{name}.safetensors"
    if path.is_file():
        return path
    package = _packages().get(name)
    spec = find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / f"{name}.safetensors"
    return path if path.is_file() else None


def find(name_or_file: str | Path) -> Path:
    """The .safetensors file that a published name or a path means, or the export that a path means.

    Raises ModelError with the cure: the distribution to install, or the name that was probably meant.
    """
    text = str(name_or_file)
    if text.endswith(MODEL_SUFFIXES):
        path = Path(text)
        if not path.is_file():
            raise ModelError(f"No model lies at {path}; give a .safetensors file or a published name (`sameplace show models`).")
        return path
    place = installed(text)
    if place is not None:
        return place
    names = {model.name: model for model in PUBLISHED}
    if text in names:
        where = f"pip install ./distributions/{names[text].distribution}"
        raise ModelError(f"The model {text} is not installed; in a clone of sameplace's repository: {where}.")
    near = get_close_matches(text, [*names, *_packages()], n=1)
    hint = f"did you mean {near[0]}?" if near else "`sameplace show models` lists the names."
    raise ModelError(f"There is no model {text!r}; give a .safetensors file or a published name: {hint}")


@cache
def _packages() -> dict[str, str]:
    """The packages of installed distributions that carry a model, by the model's name."""
    return {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
