"""Whether two photos show the same thing: local features that agree on how one view became the other."""

from sameplace.verification.features import Features, LocalFeatures, RootSift
from sameplace.verification.geometry import Geometry, Ransac
from sameplace.verification.matching import Matched, Matcher, MutualNearest, match
from sameplace.verification.verifier import Verifier

__all__ = [
    "Features",
    "Geometry",
    "LocalFeatures",
    "Matched",
    "Matcher",
    "MutualNearest",
    "Ransac",
    "RootSift",
    "Verifier",
    "match",
]
