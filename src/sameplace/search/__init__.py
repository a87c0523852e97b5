"""How a place is found again: nearest descriptors."""

from sameplace.search.approximate import Approximate, Effort, lists_for, take
from sameplace.search.codes import Codes, installed, random_rotation, sample_size
from sameplace.search.exact import Exact, exact
from sameplace.search.index import Blocks, Found, Index

__all__ = [
    "Approximate",
    "Blocks",
    "Codes",
    "Effort",
    "Exact",
    "Found",
    "Index",
    "exact",
    "installed",
    "lists_for",
    "random_rotation",
    "sample_size",
    "take",
]
