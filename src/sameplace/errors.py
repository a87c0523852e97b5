"""Everything that sameplace raises on purpose: one sentence that says what was wanted, what was got and what to do.

SameplaceError
 ├── ImageError      a file that is no readable image
 ├── PositionError   a position that cannot be understood, or frames that cannot be compared
 ├── ModelError      a model that is missing, broken, or another one than expected
 ├── DatasetError    a dataset that is not where, or not what, it should be
 ├── AtlasError      an atlas that is missing, broken, in use, or of another model
 ├── TrainingError   a training that cannot start as asked, or that went wrong
 └── MissingExtra    an optional part of sameplace that is not installed
"""


class SameplaceError(Exception):
    """The root of all errors that a user can cure."""


class ImageError(SameplaceError):
    """A file cannot be read as an image."""


class PositionError(SameplaceError, ValueError):
    """A position cannot be understood, or two frames cannot be compared."""


class ModelError(SameplaceError):
    """A model is missing, broken, or not the one expected."""


class DatasetError(SameplaceError):
    """A dataset is not where, or not what, it should be."""


class AtlasError(SameplaceError):
    """An atlas is missing, broken, in use by another writer, or made with another model."""


class TrainingError(SameplaceError, ValueError):
    """A training cannot start as asked, or went wrong on the way."""


class MissingExtra(SameplaceError, ImportError):  # noqa: N818  (the name says it)
    """An optional part of sameplace is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs an optional part of sameplace: pip install 'sameplace[{extra}]'.")
