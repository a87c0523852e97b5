"""What was seen, and where: pixels, positions and sets of images."""

from sameplace.images.imageset import ImageSet
from sameplace.images.positions import ImageRecord, seconds_between
from sameplace.images.reading import PIXEL_LIMIT, SUFFIXES, read_image
from sameplace.images.survey import ImageFile, Problem

__all__ = ["PIXEL_LIMIT", "SUFFIXES", "ImageFile", "ImageRecord", "ImageSet", "Problem", "read_image", "seconds_between"]
