"""The one thing that description, atlas and evaluation ask of a model: turn images into descriptors."""

from typing import Protocol, runtime_checkable

from sameplace.shapes import Array, Float32, UInt8


@runtime_checkable
class Describer(Protocol):
    """Any model that describes images: a published one, a file, a torch `Encoder`, or an object of your own."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def identity(self) -> str:
        """A hash of its weights: descriptors of different identities are never compared."""

    @property
    def dim(self) -> int:
        """Numbers in a descriptor."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the images it takes; `sameplace.images.read_image` brings any photo to it."""

    @property
    def runtime(self) -> str:
        """What computes it, for example "onnxruntime" or "torch"."""

    @property
    def precision(self) -> str:
        """What it is computed in, for example "float32"."""

    def describe(self, images: UInt8[Array, "batch height width 3"]) -> Float32[Array, "batch dim"]:
        """Descriptors of upright RGB images (0..255) of the model's size, each of unit length."""
