"""A name or a file becomes a Describer: the catalogue of published models, and where they lie."""

from sameplace.models.catalogue import DEFAULT_MODEL, PublishedModel, find, installed, published
from sameplace.models.loading import describer

__all__ = ["DEFAULT_MODEL", "PublishedModel", "describer", "find", "installed", "published"]
