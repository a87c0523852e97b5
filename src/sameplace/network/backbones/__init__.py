"""Trunks that turn an image into a map of local features."""

from collections.abc import Callable, Mapping
from typing import Any

from sameplace.errors import ModelError
from sameplace.network.backbones.backbone import Backbone
from sameplace.network.backbones.efficientnet import efficientnet_lite0, efficientnet_lite2
from sameplace.network.backbones.external import timm_backbone, transformers_backbone
from sameplace.network.backbones.mobilenet import mobilenet_v2
from sameplace.network.backbones.resnet import resnet18, resnet50
from sameplace.network.backbones.vgg import vgg16

RECIPES: dict[str, Callable[..., Backbone]] = {
    "efficientnet_lite0": efficientnet_lite0,
    "efficientnet_lite2": efficientnet_lite2,
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "timm": timm_backbone,
    "transformers": transformers_backbone,
    "vgg16": vgg16,
}


def rebuild(recipe: Mapping[str, Any]) -> Backbone:
    """The backbone that a model file names, without its weights."""
    arguments = dict(recipe)
    name = arguments.pop("backbone", None)
    if name not in RECIPES:
        raise ModelError(f"This version of sameplace knows no backbone {name!r}; it knows {', '.join(RECIPES)}. Is it too old?")
    return RECIPES[name](**arguments)


__all__ = [
    "Backbone",
    "efficientnet_lite0",
    "efficientnet_lite2",
    "mobilenet_v2",
    "rebuild",
    "resnet18",
    "resnet50",
    "timm_backbone",
    "transformers_backbone",
    "vgg16",
]
