"""A name or a file becomes a Describer: the catalogue of published models, and where they lie."""

from sameplace.models.catalogue import DEFAULT_MODEL, PublishedModel, find, installed, published
from sameplace.models.loading import Choice, choose, describer
from sameplace.models.mixed import on_torch

__all__ = ["DEFAULT_MODEL", "Choice", "PublishedModel", "choose", "describer", "find", "installed", "on_torch", "published"]
