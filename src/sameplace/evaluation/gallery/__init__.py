"""A gallery of failures and successes, as one HTML page."""

from sameplace.evaluation.gallery.page import gallery, write_gallery

__all__ = ["gallery", "write_gallery"]
