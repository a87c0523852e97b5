"""Benchmarks, each with its protocol, and any folder of photos as one."""

from sameplace.datasets.catalogue import known, load
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.folder import load_folder
from sameplace.datasets.known import KnownDataset
from sameplace.datasets.truth import LeaveOut, Listed, Relevant, Truth, WithinFrames, WithinMetres, WithinMetresOf

__all__ = [
    "Dataset",
    "KnownDataset",
    "LeaveOut",
    "Listed",
    "Relevant",
    "Truth",
    "WithinFrames",
    "WithinMetres",
    "WithinMetresOf",
    "known",
    "load",
    "load_folder",
]
