"""The object that users hold: a described, searchable database on disk."""

from sameplace.atlas.atlas import Atlas
from sameplace.atlas.estimate import Estimate, Match
from sameplace.atlas.track import Track
from sameplace.atlas.update import Changes, Progress
from sameplace.atlas.where import Where

__all__ = ["Atlas", "Changes", "Estimate", "Match", "Progress", "Track", "Where"]
