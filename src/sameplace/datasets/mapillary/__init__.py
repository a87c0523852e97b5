"""Street-level images of an area from Mapillary, through its official API, with the user's own token."""

from sameplace.datasets.mapillary.area import Area
from sameplace.datasets.mapillary.client import Client
from sameplace.datasets.mapillary.fetching import Fetched, Plan, fetch
from sameplace.datasets.mapillary.patience import Patience
from sameplace.datasets.mapillary.search import Query

__all__ = ["Area", "Client", "Fetched", "Patience", "Plan", "Query", "fetch"]
