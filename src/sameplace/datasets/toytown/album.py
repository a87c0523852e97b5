"""Toytown on disk: two passes of the town as folders of photos, with true positions in EXIF and in positions.csv."""

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from sameplace.datasets.toytown.camera import Camera
from sameplace.datasets.toytown.crowd import crowd
from sameplace.datasets.toytown.plan import Place, Town, View, plan, stand
from sameplace.datasets.toytown.scene import photograph
from sameplace.datasets.toytown.street import Street, build_street
from sameplace.datasets.toytown.weather import FIRST_PASS, SECOND_PASS, Weather
from sameplace.errors import DatasetError
from sameplace.shapes import Array, Float32

SIZE = 256, 192
SIGN = "Toytown, drawn by sameplace"
README = """{sign} (seed {seed}): {places} places, photographed on two passes.

database/  first pass, by day in summer
queries/   second pass, months later: dusk, night, rain, fog and snow, from up to 2.5 m and some degrees off

True positions stand in every photo's EXIF and in each folder's positions.csv (and so does what place is shown). The town
is drawn, and lies in the North Sea. Drawings of sameplace may be used freely.
"""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One drive through town: when and in what weathers, how far off it may stand, and what it meets on the way."""

    folder: str
    start: datetime
    weathers: tuple[Weather, ...]
    season: str
    jitter: float
    stalls: float
    garland: str

    def weathers_of(self, town: Town, rng: np.random.Generator) -> list[Weather]:
        """The weather in each block: every kind as often as every other, in any order."""
        blocks = town.block(town.places[-1]) + 1
        return [self.weathers[kind] for kind in rng.permutation(np.arange(blocks) % len(self.weathers))]


PASSES = (
    Pass(
        folder="database",
        start=datetime(2024, 6, 12),
        weathers=FIRST_PASS,
        season="summer",
        jitter=0.3,
        stalls=0.1,
        garland="flags",
    ),
    Pass(
        folder="queries",
        start=datetime(2024, 10, 23),
        weathers=SECOND_PASS,
        season="autumn",
        jitter=1.0,
        stalls=1.3,
        garland="bulbs",
    ),
)


def draw(folder: str | Path, *, places: int = 100, seed: int = 0) -> Path:
    """Draw a tiny town and photograph it on two passes: `database/` by day, `queries/` months later at night and in the rain.

    Every seed is another town somewhere else; the same seed draws the same photos. DatasetError where the folder holds anything
    but a drawn town.
    """
    if places < 1:
        raise ValueError(f"A town has at least one place, got {places}.")
    folder = Path(folder)
    town = plan(places, seed, np.random.default_rng((seed, 0)))
    _make_room(folder, {f"{index:04d}.jpg" for index in range(places)})
    # First, so that a town whose drawing was interrupted can be drawn again.
    (folder / "README.txt").write_text(README.format(sign=SIGN, seed=seed, places=places), encoding="utf-8")
    weathers = [drive.weathers_of(town, np.random.default_rng((seed, 3, number))) for number, drive in enumerate(PASSES)]
    rows: dict[str, list[dict[str, str]]] = {drive.folder: [] for drive in PASSES}
    # One street at a time: the drawn houses of a whole town would fill memory.
    for number in range(town.streets):
        street = build_street(town.blocks, np.random.default_rng((seed, 1, number)))
        here = [(index, place) for index, place in enumerate(town.places) if place.street == number]
        for drive_number, drive in enumerate(PASSES):
            rng = np.random.default_rng((seed, 2, drive_number, number))
            rows[drive.folder] += _drive(folder / drive.folder, drive, town, street, here, weathers[drive_number], rng)
    for drive in PASSES:
        with (folder / drive.folder / "positions.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["file", "lat", "lon", "heading_deg", "time", "place", "weather"])
            table.writeheader()
            table.writerows(rows[drive.folder])
    return folder


def is_town(folder: Path) -> bool:
    """Whether a folder holds a drawn town, which its README.txt says."""
    try:
        with (folder / "README.txt").open("rb") as file:
            return file.read(len(SIGN)) == SIGN.encode()
    except OSError:
        return False


def _make_room(folder: Path, names: set[str]) -> None:
    """Make the folders; what others have put there is not drawn over, and does not end up in the new town."""
    folder.mkdir(parents=True, exist_ok=True)
    foreign = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if foreign and not is_town(folder):
        raise DatasetError(f"{folder} already holds {foreign[0]}, and is no town drawn before; choose another folder.")
    for drive in PASSES:
        (folder / drive.folder).mkdir(parents=True, exist_ok=True)
        strange = sorted(path.name for path in (folder / drive.folder).glob("*.jpg") if path.name not in names)
        if strange:
            raise DatasetError(
                f"{folder / drive.folder} already holds {strange[0]}, which is no photo of the town to be drawn; "
                f"choose another folder."
            )


def _drive(
    folder: Path,
    drive: Pass,
    town: Town,
    street: Street,
    here: list[tuple[int, Place]],
    weathers: list[Weather],
    rng: np.random.Generator,
) -> list[dict[str, str]]:
    """Photograph the places of one street; returns their rows of positions.csv."""
    met = street.standing + crowd(street.length_m, street.half_width_m, drive.stalls, drive.garland, rng)
    noise = rng.standard_normal((SIZE[1] * 2, SIZE[0] * 2), dtype=np.float32)
    rows = []
    for index, place in here:
        weather = weathers[town.block(place)]
        start = drive.start + timedelta(hours=weather.hour, minutes=3 * place.street)
        view = stand(town, place, start, drive.jitter, rng)
        down, right = rng.integers(SIZE[1]), rng.integers(SIZE[0])
        grain: Float32[Array, "height width"] = noise[down : down + SIZE[1], right : right + SIZE[0]]
        image = photograph(Camera(view, street, *SIZE), met, weather, drive.season, drive.start.month, grain)
        name = f"{index:04d}.jpg"
        image.save(folder / name, quality=88, exif=exif(view))
        rows.append(
            {
                "file": name,
                "lat": f"{view.position.lat:.8f}",
                "lon": f"{view.position.lon:.8f}",
                "heading_deg": f"{view.heading_deg:.1f}",
                "time": view.time.isoformat(timespec="seconds"),
                "place": f"{index:04d}",
                "weather": weather.name,
            }
        )
    return rows


def exif(view: View) -> Image.Exif:
    """Position, heading and time as a camera writes them."""
    tags = Image.Exif()
    tags[Base.Make], tags[Base.Model] = "sameplace", "toytown"
    tags.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"{view.time:%Y:%m:%d %H:%M:%S}"
    tags.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N" if view.position.lat >= 0 else "S",
            GPS.GPSLatitude: _sexagesimal(view.position.lat),
            GPS.GPSLongitudeRef: "E" if view.position.lon >= 0 else "W",
            GPS.GPSLongitude: _sexagesimal(view.position.lon),
            GPS.GPSImgDirectionRef: "T",
            GPS.GPSImgDirection: IFDRational(round(view.heading_deg * 100), 100),
        }
    )
    return tags


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds; a unit of the seconds is 3 mm."""
    units = round(abs(degrees) * 3600 * 10_000)
    whole, rest = divmod(units, 3600 * 10_000)
    minutes, seconds = divmod(rest, 60 * 10_000)
    return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(seconds, 10_000)
