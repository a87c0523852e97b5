"""A tiny drawn town with true positions, photographed on two passes: something to try everything on, offline, in seconds."""

from sameplace.datasets.toytown.album import PASSES, draw, is_town

__all__ = ["PASSES", "draw", "is_town"]
