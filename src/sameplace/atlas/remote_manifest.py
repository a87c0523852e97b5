"""What a collection on Milvus says of the atlas that it is: properties of the collection, in JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sameplace.atlas.calibration import Calibration
from sameplace.atlas.manifest import FORMAT, FORMAT_VERSION, Impostors, Manifest, Model, SegmentEntry
from sameplace.errors import AtlasError
from sameplace.search.milvus import Collection

SAID = "sameplace.atlas"
LEARNT = "sameplace.learnt"


def said(manifest: Manifest) -> str:
    """What is said of an atlas once and for all."""
    known = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": asdict(manifest.model),
        "frame": manifest.frame,
        "precision": manifest.precision,
    }
    return json.dumps(known)


def read(collection: Collection) -> Manifest:
    """What is said, and what was learnt; AtlasError where the collection is none of ours."""
    text = collection.properties.get(SAID)
    if text is None:
        raise AtlasError(f"{collection.address.text} is a collection, but no atlas; choose another name.")
    try:
        known = json.loads(text)
        version, model = known["format_version"], known["model"]
        if version > FORMAT_VERSION:
            raise AtlasError(
                f"The atlas {collection.address.text} has format version {version}, and this sameplace reads up to "
                f"{FORMAT_VERSION}; upgrade it: pip install --upgrade sameplace."
            )
        learnt = Learnt.read(collection)
        height, width = model["size"]
        return Manifest(
            generation=0,
            model=Model(**{**model, "size": (int(height), int(width))}),
            frame=known["frame"],
            segments=(SegmentEntry(name="", rows=0, runtime="", precision=known["precision"]),),
            impostors=learnt.impostors if learnt else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AtlasError(
            f"What {collection.address.text} says of itself is broken ({type(error).__name__}: {error}); index the photos into a "
            f"new collection."
        ) from None


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What an atlas on Milvus has learnt of itself."""

    changed: int
    """Photos that were added, changed or removed since."""
    impostors: Impostors
    calibration: Calibration | None

    @classmethod
    def read(cls, collection: Collection) -> "Learnt | None":
        """As it was learnt last; None before that."""
        text = collection.properties.get(LEARNT)
        if text is None:
            return None
        known: dict[str, Any] = json.loads(text)
        calibration = known["calibration"]
        return cls(
            changed=known["changed"],
            impostors=Impostors(**known["impostors"]),
            calibration=calibration and Calibration.from_bytes(json.dumps(calibration).encode()),
        )

    def to_json(self) -> str:
        """For the collection."""
        calibration = self.calibration and json.loads(self.calibration.to_bytes())
        return json.dumps({"changed": self.changed, "impostors": asdict(self.impostors), "calibration": calibration})
