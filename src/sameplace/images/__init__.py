"""What was seen, and where: pixels, positions and sets of images."""

from sameplace.images.imageset import ImageSet
from sameplace.images.positions import ImageRecord, seconds_between
from sameplace.images.reading import PIXEL_LIMIT, SUFFIXES, read_image
from sameplace.images.survey import ImageFile, Problem
from sameplace.images.view import View

__all__ = ["PIXEL_LIMIT", "SUFFIXES", "ImageFile", "ImageRecord", "ImageSet", "Problem", "View", "read_image", "seconds_between"]
