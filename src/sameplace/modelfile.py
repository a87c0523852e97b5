"""The model file, one safetensors file whose header says what it is, and what exports of it say: read without torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sameplace.errors import ModelError

FORMAT_VERSION = 1
REQUIRED = frozenset({"identity", "architecture", "card"})
# What an exported graph says of the file that its weights lie in.
GRAPH_IDENTITY, GRAPH_WEIGHTS_START = "sameplace.identity", "sameplace.weights_start"
# ... and of the model as a whole: an `About` as JSON.
GRAPH_ABOUT = "sameplace.about"
AGREEMENT_WANTED = 0.99
"""Cosine with the descriptors in float32, at the 5th percentile of photos, from which others may be compared with them."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near the descriptors of a lower precision are to those in float32."""

    cosine: float
    """At the 5th percentile: 95 of 100 photos agree better."""
    images: int
    """Photos that it was measured on."""

    @property
    def passed(self) -> bool:
        """Whether the two may be compared."""
        return self.cosine >= AGREEMENT_WANTED


@dataclass(frozen=True, kw_only=True)
class About:
    """What an exported model says of itself."""

    name: str
    identity: str
    """A hash of the weights that it was exported from, whatever precision it has now."""
    size: tuple[int, int]
    """Height and width in pixels of the images it takes."""
    precision: str
    """What its trunk is stored for: "float32" or "int8"."""
    features: str | None = None
    """The tensor between trunk and aggregator: a lower precision ends here. None where the graph does not tell."""
    float_until: str | None = None
    """The tensor before which bfloat16 would cost too much; None where the whole trunk can be in bfloat16."""
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    """For each precision that was tried."""
    card: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As it is kept in a graph."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None, graph: str | Path) -> "About":
        """What a graph says; ModelError where it says nothing, or what only a newer sameplace understands."""
        try:
            said = json.loads(text or "")
            version = int(said.pop("format_version"))
            if version > FORMAT_VERSION:
                raise ModelError(f"{graph} has format {version}, this sameplace reads up to {FORMAT_VERSION}; upgrade sameplace.")
            height, width = said.pop("size")
            agreement = {precision: Agreement(**measured) for precision, measured in said.pop("agreement").items()}
            return cls(**said, size=(int(height), int(width)), agreement=agreement)
        except (KeyError, TypeError, ValueError, AttributeError) as broken:
            raise ModelError(f"{graph} is no model that sameplace exported; write it with `sameplace export MODEL`.") from broken


def read_header(model: str | Path) -> dict[str, Any]:
    """Identity, architecture and card of a model file.

    Raises ModelError where the file is missing, cut short, or none of ours.
    """
    try:
        with safe_open(model, framework="numpy") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["sameplace"])
        version = int(header["format_version"])
    except FileNotFoundError as missing:
        raise ModelError(f"No model lies at {model}; give a .safetensors file or a published name.") from missing
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as broken:
        raise ModelError(f"{model} is not a sameplace model, or it is cut short; get the file again.") from broken
    if version > FORMAT_VERSION:
        raise ModelError(f"{model} has format {version}, this sameplace reads up to {FORMAT_VERSION}; upgrade sameplace.")
    if REQUIRED - header.keys() or "name" not in header["card"]:
        raise ModelError(f"The header of {model} does not say what the model is; get the file again.")
    return header


def tensor_places(model: Path) -> tuple[dict[str, Any], int]:
    """Where each tensor of a model file lies (dtype, shape, offsets), and where its data start.

    Source: the safetensors format, a length of 8 bytes, a JSON header, the data.
    """
    with model.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        places: dict[str, Any] = json.loads(file.read(length))
    places.pop("__metadata__", None)
    return places, 8 + length
