"""What the field's tables print for NetVLAD, to be shown beside a figure of the same protocol; nothing here was measured by us."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RESNET: Final = "NetVLAD on ResNet-18 conv4, trained on Pittsburgh 30k"
VGG: Final = "NetVLAD on VGG-16 conv5 with 16 clusters, trained on Pittsburgh"


@dataclass(frozen=True)
class Printed:
    """recall@1 over all queries, in 0..1, as others print it."""

    recall_at_1: float
    model: str


PRINTED: Mapping[str, Printed] = {
    "17-places": Printed(0.6158, RESNET),
    "baidu-mall": Printed(0.5310, RESNET),
    "berlin-kudamm": Printed(0.3821, VGG),
    "gardens-point": Printed(0.5850, RESNET),
    "hawkins": Printed(0.3475, RESNET),
    "laurel-caverns": Printed(0.3929, RESNET),
    "mid-atlantic-ridge": Printed(0.2574, RESNET),
    "nardo-air": Printed(0.1972, RESNET),
    "nardo-air-r": Printed(0.6056, RESNET),
    "oxford-robotcar": Printed(0.5288, RESNET),
    "pitts30k-test": Printed(0.8608, RESNET),
    "st-lucia": Printed(0.5792, RESNET),
    "vp-air": Printed(0.0639, RESNET),
}
"""By dataset, as in the tables of Keetha et al., AnyLoc, RA-L 2024; for Berlin Kudamm, of those who compare with Keetha, Milford,
Garg, RA-L 2021. Each is a whole number of this protocol's queries."""
