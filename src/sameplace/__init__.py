"""Tells where a photo was taken by recognising the place.

Every public name lives here and is fetched when it is first asked for: `import sameplace` loads neither torch nor a runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sameplace._version import __version__

if TYPE_CHECKING:
    from sameplace import datasets, errors, models
    from sameplace.atlas import Atlas, Changes, Estimate, Match, Track, Where
    from sameplace.describer import Describer
    from sameplace.description import DescriptorCache, describe
    from sameplace.evaluation import Comparison, Outcome, Report, compare, evaluate, score
    from sameplace.geo import LatLon, LocalPoint, Position, Positions, distance
    from sameplace.images import ImageRecord, ImageSet, Problem, read_image
    from sameplace.models.exporting import Exported, export
    from sameplace.network import backbones
    from sameplace.network.encoder import Encoder
    from sameplace.network.export import export_onnx
    from sameplace.network.netvlad import NetVLAD
    from sameplace.network.pooling import AveragePooling, GeM, MaxPooling
    from sameplace.network.vocabulary import Vocabulary
    from sameplace.network.whitening import PCAWhitening
    from sameplace.training import Run, Streets, TrainConfig, train

_MODULES = {
    "backbones": "sameplace.network.backbones",
    "datasets": "sameplace.datasets",
    "errors": "sameplace.errors",
    "models": "sameplace.models",
}
_HOMES = {
    "Atlas": "sameplace.atlas",
    "AveragePooling": "sameplace.network.pooling",
    "Changes": "sameplace.atlas",
    "Comparison": "sameplace.evaluation",
    "Describer": "sameplace.describer",
    "DescriptorCache": "sameplace.description",
    "Encoder": "sameplace.network.encoder",
    "Estimate": "sameplace.atlas",
    "Exported": "sameplace.models.exporting",
    "GeM": "sameplace.network.pooling",
    "ImageRecord": "sameplace.images",
    "ImageSet": "sameplace.images",
    "LatLon": "sameplace.geo",
    "LocalPoint": "sameplace.geo",
    "Match": "sameplace.atlas",
    "MaxPooling": "sameplace.network.pooling",
    "NetVLAD": "sameplace.network.netvlad",
    "Outcome": "sameplace.evaluation",
    "PCAWhitening": "sameplace.network.whitening",
    "Position": "sameplace.geo",
    "Positions": "sameplace.geo",
    "Problem": "sameplace.images",
    "Report": "sameplace.evaluation",
    "Run": "sameplace.training",
    "Streets": "sameplace.training",
    "Track": "sameplace.atlas",
    "TrainConfig": "sameplace.training",
    "Vocabulary": "sameplace.network.vocabulary",
    "Where": "sameplace.atlas",
    "compare": "sameplace.evaluation",
    "describe": "sameplace.description",
    "distance": "sameplace.geo",
    "evaluate": "sameplace.evaluation",
    "export": "sameplace.models.exporting",
    "export_onnx": "sameplace.network.export",
    "read_image": "sameplace.images",
    "score": "sameplace.evaluation",
    "train": "sameplace.training",
}

__all__ = [
    "Atlas",
    "AveragePooling",
    "Changes",
    "Comparison",
    "Describer",
    "DescriptorCache",
    "Encoder",
    "Estimate",
    "Exported",
    "GeM",
    "ImageRecord",
    "ImageSet",
    "LatLon",
    "LocalPoint",
    "Match",
    "MaxPooling",
    "NetVLAD",
    "Outcome",
    "PCAWhitening",
    "Position",
    "Positions",
    "Problem",
    "Report",
    "Run",
    "Streets",
    "Track",
    "TrainConfig",
    "Vocabulary",
    "Where",
    "__version__",
    "backbones",
    "compare",
    "datasets",
    "describe",
    "distance",
    "errors",
    "evaluate",
    "export",
    "export_onnx",
    "models",
    "read_image",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from the module that it lives in."""
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module 'sameplace' has no attribute {name!r}")
    try:
        value: Any = import_module(_MODULES[name]) if name in _MODULES else getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        from sameplace.errors import MissingExtra

        raise MissingExtra(f"sameplace.{name}", "train") from missing
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
