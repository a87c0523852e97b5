"""Descriptors on Milvus, for more of them than one machine holds."""

from sameplace.search.milvus.address import Address, IndexPlan, is_address
from sameplace.search.milvus.collection import DESCRIPTOR, Collection, Column, Row, numbers, quoted

__all__ = ["DESCRIPTOR", "Address", "Collection", "Column", "IndexPlan", "Row", "is_address", "numbers", "quoted"]
