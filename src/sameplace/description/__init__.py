"""Images and a describer become descriptors."""

from sameplace.description.batches import Described, describe

__all__ = ["Described", "describe"]
