"""Images and a describer become descriptors."""

from sameplace.description.batches import Described, describe
from sameplace.description.cache import DescriptorCache, default_folder

__all__ = ["Described", "DescriptorCache", "default_folder", "describe"]
