"""The manifest: the one small file that says what an atlas holds, and the only one that is ever replaced."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sameplace.describer import Describer
from sameplace.errors import AtlasError
from sameplace.modelfile import AGREEMENT_WANTED

FORMAT = "sameplace atlas"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model that described an atlas."""

    name: str
    identity: str
    """A hash of its weights; every photo of the atlas, and every query, is described by weights of this identity."""
    dim: int
    size: tuple[int, int]
    """Height and width of the images it takes, in pixels."""
    source: str
    """The name or file that it was given by, to find it again."""

    @classmethod
    def of(cls, describer: Describer, source: str) -> "Model":
        """What to remember of a describer."""
        height, width = describer.size
        return cls(name=describer.name, identity=describer.identity, dim=describer.dim, size=(height, width), source=source)


@dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """A segment: an immutable folder of rows."""

    name: str
    rows: int
    runtime: str
    """What computed the descriptors; several are joined by "+"."""
    precision: str
    """What they were computed in; one that was measured to agree with float32 tells by which cosine, and several are joined."""


@dataclass(frozen=True, kw_only=True)
class Tombstones:
    """The file that lists removed rows, and how many they are."""

    file: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Impostors:
    """How similar photos of this atlas are that show different places."""

    generation: int
    """The generation of the atlas that this was measured on."""
    pairs: int
    similarity: float | None
    """The 99th percentile over the pairs; None where they are too few to tell."""


@dataclass(frozen=True, kw_only=True)
class CalibrationFile:
    """The file that says how far off answers of this atlas are (see `calibration`)."""

    file: str
    changed: int
    """Photos that were added or removed since it was made."""


@dataclass(frozen=True, kw_only=True)
class CodesFile:
    """A file of codes of the index, in FAISS' own format."""

    file: str
    bytes: int
    codes: int
    first: int
    """The number from which on rows have their codes in this file."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRecall:
    """What the index finds of what exact search finds, measured on this atlas."""

    queries: int
    images: int
    """Photos that the atlas held then."""
    at_1: float
    """The share of queries whose most similar photo comes first."""
    at_10: float
    """The share of their ten most similar photos that are among the first ten."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """The approximate index of a large atlas: codes of its first rows, each known by a number that it keeps."""

    rotation: str
    """The file of the rotation, without which codes mean nothing."""
    codes: tuple[CodesFile, ...]
    """In the order of the rows: those in lists, and younger ones that wait for them."""
    numbered: int
    """Numbers that were given out, in the order of the rows."""
    dropped: Tombstones | None
    """The numbers whose rows are gone for good."""
    lists: int
    unexplained: float
    """The share of the descriptors' variance that the centroids left to the codes when they were learnt."""
    probes: int
    depth: int
    """How hard searching looks (see `search.Effort`): no harder than this atlas needs."""
    recall: MeasuredRecall

    @property
    def rows(self) -> int:
        """Rows that have codes: the first ones of the atlas."""
        return self.numbered - (self.dropped.rows if self.dropped else 0)

    @property
    def files(self) -> tuple[str, ...]:
        """All of its files."""
        return (self.rotation, *(part.file for part in self.codes), *([self.dropped.file] if self.dropped else []))


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One generation of an atlas."""

    generation: int
    model: Model
    frame: str | None
    """"earth" or "local"; None while the atlas is empty."""
    segments: tuple[SegmentEntry, ...] = ()
    tombstones: Tombstones | None = None
    impostors: Impostors | None = None
    calibration: CalibrationFile | None = None
    index: Index | None = None
    """None where every photo is compared with a query; readers of format 1 that know no index do the same."""

    @property
    def precision(self) -> str | None:
        """What the descriptors were computed in; None while there are none."""
        return joined(segment.precision for segment in self.segments) or None

    @property
    def rows(self) -> int:
        """Rows on disk, removed ones included."""
        return sum(segment.rows for segment in self.segments)

    @property
    def images(self) -> int:
        """Photos that can be found."""
        return self.rows - (self.tombstones.rows if self.tombstones else 0)

    def to_bytes(self) -> bytes:
        """The content of manifest.json."""
        return (json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}, indent=1) + "\n").encode()


def check_describer(folder: Path | str, manifest: Manifest, describer: Describer) -> None:
    """AtlasError where the descriptors of another model would meet those of the atlas, or of a precision that may not.

    Descriptors of different precisions meet where each was measured to agree with float32.
    """
    model = manifest.model
    if not manifest.segments:  # an empty atlas takes the model of its first photos
        return
    if (describer.identity, describer.dim) != (model.identity, model.dim):
        raise AtlasError(
            f"The atlas {folder} was made with the model {model.name} ({model.identity[:12]}, {model.dim} numbers), and "
            f"{describer.name} ({describer.identity[:12]}, {describer.dim} numbers) is another one; use {model.source}, or index "
            f"the photos into a new atlas."
        )
    recorded = recorded_precision(describer)
    if recorded != manifest.precision and not all(map(_agrees, f"{recorded}+{manifest.precision}".split("+"))):
        raise AtlasError(
            f"The atlas {folder} was described in {manifest.precision}, but {describer.name} computes in {describer.precision}; "
            f"use it in {manifest.precision}, or index the photos into a new atlas."
        )


def recorded_precision(describer: Describer) -> str:
    """What a describer computes in, and by which cosine that agrees with float32 where its export measured that."""
    agreement = None if describer.precision == "float32" else getattr(describer, "agreement", None)
    return describer.precision if agreement is None else f"{describer.precision} ({agreement:.4f})"


def joined(precisions: Iterable[str]) -> str:
    """Precisions as one text, each once.

    >>> joined(["float32", "bfloat16 (0.9950)+float32"])
    'bfloat16 (0.9950)+float32'
    """
    return "+".join(sorted({one for precision in precisions for one in precision.split("+") if one}))


def _agrees(recorded: str) -> bool:
    """Whether descriptors of a recorded precision may be compared with such in float32."""
    precision, _, agreement = recorded.rstrip(")").partition(" (")
    return precision == "float32" or (bool(agreement) and float(agreement) >= AGREEMENT_WANTED)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the atlas in a folder; AtlasError where there is none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise AtlasError(
            f"{folder} {'holds no atlas' if folder.is_dir() else 'is no folder with an atlas'}; "
            f"make one with `sameplace index PHOTOS --to {folder}`, or check the path."
        ) from None
    except OSError as error:
        raise AtlasError(f"The atlas {folder} cannot be read ({error.strerror}); check its permissions and its disk.") from None
    except ValueError as error:
        raise _broken(folder, error) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise AtlasError(f"{folder / MANIFEST} is no manifest of an atlas; check the path.")
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise AtlasError(
            f"The atlas {folder} has format version {version}, and this sameplace reads up to {FORMAT_VERSION}; "
            f"upgrade it: pip install --upgrade sameplace."
        )
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(folder, error) from None


def _parsed(content: Mapping[str, Any]) -> Manifest:
    model, tombstones, impostors, index = content["model"], content["tombstones"], content["impostors"], content.get("index")
    height, width = model["size"]
    calibration = content.get("calibration")  # atlases of before have none
    return Manifest(
        generation=int(content["generation"]),
        model=Model(**{**model, "size": (int(height), int(width)), "dim": int(model["dim"])}),
        frame=content["frame"],
        segments=tuple(SegmentEntry(**{**segment, "rows": int(segment["rows"])}) for segment in content["segments"]),
        tombstones=tombstones and Tombstones(**tombstones),
        impostors=impostors and Impostors(**impostors),
        calibration=calibration and CalibrationFile(**calibration),
        index=index and _index(index),
    )


def _index(content: Mapping[str, Any]) -> Index:
    return Index(
        **{
            **content,
            "codes": tuple(CodesFile(**codes) for codes in content["codes"]),
            "dropped": content["dropped"] and Tombstones(**content["dropped"]),
            "recall": MeasuredRecall(**content["recall"]),
        }
    )


def _broken(folder: Path, error: Exception) -> AtlasError:
    return AtlasError(
        f"{folder / MANIFEST} is broken ({type(error).__name__}: {error}), although it is never changed in place; "
        f"restore it from a copy, or index the photos again into a new atlas."
    )
