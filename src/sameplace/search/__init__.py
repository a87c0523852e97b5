"""How a place is found again: nearest descriptors."""

from sameplace.search.exact import Exact, exact
from sameplace.search.index import Blocks, Found, Index

__all__ = ["Blocks", "Exact", "Found", "Index", "exact"]
