"""What the tests of the service share: a small drawn town on disk, and a client of its service."""

from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational
from starlette.testclient import TestClient

from conftest import TinyDescriber
from sameplace.atlas import Atlas
from sameplace.models.why import Explainer, Vocabulary
from sameplace.service import Service, Settings, application
from sameplace.service import serving as served

STEP = 0.001  # degrees, about 111 m
TOKEN = "a-token-of-the-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class TinyExplainer(Explainer):
    """Explains by the colours of an 8 x 8 grid, in words that mean nothing."""

    size = (32, 32)

    def __init__(self):
        rng = np.random.default_rng(0)
        self.vocabulary = Vocabulary(
            assignment=rng.normal(size=(4, 3)),
            bias=rng.normal(size=4),
            centroids=rng.normal(size=(4, 3)),
            whitening=rng.normal(size=(7, 12)),
            shift=rng.normal(size=7),
            normalise_features=False,
            intra_normalisation=True,
        )
        self._trunk = self

    def local_features(self, images):
        cells = images.reshape(len(images), 8, 4, 8, 4, 3).mean(axis=(2, 4), dtype=np.float32)
        return cells.reshape(len(images), 64, 3).transpose(0, 2, 1) / 255


def pixels(seed, width=64, height=48):
    """A soft random picture, different for every seed."""
    colours = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(seed, lat=None, lon=11.0, **shape):
    """A photo as a camera stores it: with its owner's name and, if given, its position."""
    exif = Image.Exif()
    exif[Base.Artist] = "Ada Secretive"
    exif[Base.Make] = "Secretive Cameras"
    if lat is not None:
        tags = {GPS.GPSLatitudeRef: "N", GPS.GPSLongitudeRef: "E"}
        for tag, degrees in ((GPS.GPSLatitude, lat), (GPS.GPSLongitude, lon)):
            tags[tag] = (IFDRational(round(degrees * 1e7), 10_000_000), IFDRational(0, 1), IFDRational(0, 1))
        exif.get_ifd(IFD.GPSInfo).update(tags)
    stored = BytesIO()
    pixels(seed, **shape).save(stored, "JPEG", quality=95, exif=exif)
    return stored.getvalue()


def town(folder, places=24):
    """An atlas of photos 111 m apart, and its path."""
    (folder / "photos").mkdir(parents=True)
    for number in range(places):
        (folder / "photos" / f"{number:02}.jpg").write_bytes(jpeg(number, 48 + STEP * number))
    Atlas.build(folder / "photos", at=folder / "town.atlas", model=TinyDescriber())
    return folder / "town.atlas"


@contextmanager
def client(atlas, describer=None, explainer=None, verifier=None, **settings):
    """A client of a service of this atlas; what breaks inside is a response, as it is for clients."""
    service = Service.start(Path(atlas), Settings(**settings), describer or TinyDescriber(), explainer=explainer, verifier=verifier)
    with TestClient(application(service), base_url="http://localhost", raise_server_exceptions=False) as asking:
        asking.service = service
        yield asking


def serving(atlas, describer=None, explainer=None, verifier=None, **settings):
    """A service at a real socket; gives its address."""
    service = Service.start(Path(atlas), Settings(**settings), describer or TinyDescriber(), explainer=explainer, verifier=verifier)
    return served(service)


def files(folder):
    """All files below a folder, with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def sentence(response, status):
    """The one sentence of a refusal."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["detail"].endswith(".")
    assert "Traceback" not in told["detail"]
    return told["detail"]
