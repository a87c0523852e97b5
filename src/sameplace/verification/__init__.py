"""Whether two photos show the same thing: local features that agree on how one view became the other."""

from sameplace.verification.features import Features, LocalFeatures, RootSift
from sameplace.verification.geometry import Either, Geometry, Ransac
from sameplace.verification.matching import Matched, Matcher, MutualNearest, match
from sameplace.verification.reranking import SECONDS, Reranked, best_verifier, rerank
from sameplace.verification.verifier import Verifier
from sameplace.verification.xfeat import LighterGlue, XFeat

__all__ = [
    "SECONDS",
    "Either",
    "Features",
    "Geometry",
    "LighterGlue",
    "LocalFeatures",
    "Matched",
    "Matcher",
    "MutualNearest",
    "Ransac",
    "Reranked",
    "RootSift",
    "Verifier",
    "XFeat",
    "best_verifier",
    "match",
    "rerank",
]
