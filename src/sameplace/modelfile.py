"""The model file: one safetensors file whose header says what it is. Read without torch, by every runtime."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sameplace.errors import ModelError

FORMAT_VERSION = 1
REQUIRED = frozenset({"identity", "architecture", "card"})
# What an exported graph says of the file that its weights lie in.
GRAPH_IDENTITY, GRAPH_WEIGHTS_START = "sameplace.identity", "sameplace.weights_start"


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
