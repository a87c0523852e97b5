"""Images and a describer become descriptors."""

from sameplace.description.batches import Described, describe
from sameplace.description.cache import DescriptorCache
from sameplace.description.cluster import Cluster, is_cluster
from sameplace.runtime.compiled import cache_folder as default_folder

__all__ = ["Cluster", "Described", "DescriptorCache", "default_folder", "describe", "is_cluster"]
