"""Write tests/pinned/: twenty toytown photos and the descriptors that every runtime must give them, now and in every later release.

    python scripts/pin_descriptors.py

Run it only when a published model, or on purpose the way to pixels, has changed: the files notice a change by mistake.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

from sameplace import models
from sameplace.datasets import toytown
from sameplace.images import read_image

FOLDER = Path(__file__).parent.parent / "tests" / "pinned"
PLACES = 10


def main() -> None:
    """Draw the photos where there are none, describe them with every published model that is installed."""
    FOLDER.mkdir(exist_ok=True)
    if not list(FOLDER.glob("*.jpg")):
        with tempfile.TemporaryDirectory() as folder:
            for photo in sorted(toytown.draw(folder, places=PLACES).rglob("*.jpg")):
                shutil.copy(photo, FOLDER / f"{photo.parent.name}-{photo.name}")
    photos = sorted(FOLDER.glob("*.jpg"))
    for model in models.published():
        if models.installed(model.name):
            describer = models.describer(model.name, runtime="onnxruntime")
            pixels = np.stack([read_image(photo, describer.size) for photo in photos])
            np.save(FOLDER / f"{model.name}.npy", np.concatenate([describer.describe(image[None]) for image in pixels]))
            print(f"{model.name}: {len(photos)} descriptors of {describer.dim} numbers, {describer.runtime}")


if __name__ == "__main__":
    main()
