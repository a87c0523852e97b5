"""Benchmarks, each with its protocol, and any folder of photos as one."""

from sameplace.datasets.catalogue import KnownDataset, known, load
from sameplace.datasets.dataset import Dataset
from sameplace.datasets.folder import load_folder
from sameplace.datasets.truth import LeaveOut, Truth, WithinFrames, WithinMetres

__all__ = ["Dataset", "KnownDataset", "LeaveOut", "Truth", "WithinFrames", "WithinMetres", "known", "load", "load_folder"]
