"""The baselines of the paper on the trunk of a published model: other ways to aggregate the same local features, nothing learnt."""

from pathlib import Path
from typing import Literal

from torch import nn

from sameplace.network.encoder import Encoder
from sameplace.network.pooling import AveragePooling, MaxPooling

Aggregation = Literal["max", "average", "vlad-raw"]


def baseline(model: Path, aggregation: Aggregation, name: str) -> Encoder:
    """An encoder with the trunk and the image size of a model file, without its whitening.

    "max" and "average" pool each channel (the paper's f_max and its like); "vlad-raw" keeps the model's own aggregator.
    """
    whole = Encoder.load(model)
    channels = int(getattr(whole.backbone, "channels"))  # noqa: B009  (an attribute of every backbone in a model file)
    aggregator: nn.Module
    if aggregation == "max":
        aggregator = MaxPooling(channels)
    elif aggregation == "average":
        aggregator = AveragePooling(channels)
    else:
        aggregator = whole.aggregator
    return Encoder(whole.backbone, aggregator, size=whole.size, name=name).eval()
