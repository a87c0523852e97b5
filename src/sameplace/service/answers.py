"""What the service says, as OpenAPI shows it; a coordinate is null where the atlas' frame has none such."""

from dataclasses import asdict
from typing import Annotated

from pydantic import BaseModel, Field

from sameplace.atlas.coverage import CELL_M, REASONS
from sameplace.geo import LatLon, LocalPoint, Position, distance
from sameplace.service.edition import Edition, Photo
from sameplace.service.questions import Answer
from sameplace.service.weakness import Covered

NAME = r"^[0-9a-f]{32}$"
Name = Annotated[
    str, Field(pattern=NAME, description="Opaque name of a photo: api/photos/NAME tells of it, api/photos/NAME/picture shows it.")
]
Degrees = Annotated[float | None, Field(description="WGS84; null in a frame of local metres.")]
Metres = Annotated[float | None, Field(description="Null in the frame of latitude and longitude.")]

Turned = Annotated[
    float | None, Field(description="Degrees that the photo looks farther to the right than the match; null if not proved.")
]
Towards = Annotated[
    float | None,
    Field(description="Degrees to the right of where the match looks, in which the photo's camera stood; null if not told."),
]


class Place(BaseModel):
    """A position in the frame of the atlas."""

    lat: Degrees = None
    lon: Degrees = None
    x_m: Metres = None
    y_m: Metres = None


class PhotoTold(Place):
    """A photo of the atlas."""

    id: Name
    heading_deg: Annotated[float | None, Field(description="Where the camera looked, clockwise from north (or the y axis).")] = None
    time: Annotated[str | None, Field(description="When it was taken, as ISO 8601.")] = None


class MatchTold(PhotoTold):
    """A photo of the atlas that resembles the question."""

    similarity: Annotated[float, Field(le=1, description="Cosine; higher is nearer.")]
    distance_m: Annotated[float, Field(ge=0, description="Metres from the estimate.")]
    inliers: Annotated[int | None, Field(description="Pairs of points that agree on one geometry; null if not compared.")] = None
    turned_deg: Turned = None
    towards_deg: Towards = None


class VerificationTold(BaseModel):
    """What was done to prove the matches."""

    by: Annotated[str, Field(description="Which points were compared, and how.")]
    least: Annotated[int, Field(description="A match with so many inliers counts as proved.")]
    wanted: Annotated[int, Field(ge=0, description="Matches that were to be compared.")]
    compared: Annotated[int, Field(ge=0, description="Fewer where the time was over, or a photo has gone.")]
    stopped: Annotated[bool, Field(description="Whether the time was over before all were compared.")]
    seconds: Annotated[float, Field(ge=0, description="What it took, waiting included.")]
    budget: Annotated[float, Field(ge=0, description="What it was to take at most.")]


class EstimateTold(Place):
    """Where a photo was taken."""

    known: Annotated[bool | None, Field(description="Whether the place is in the atlas; null where that cannot be told.")]
    radius_m: Annotated[float, Field(ge=0, description="How far off the position may be, in metres.")]
    calibrated: Annotated[bool, Field(description="Whether radius_m was learnt from the atlas.")]
    level: Annotated[float | None, Field(description="Of such answers, the part that lie within radius_m; null if not calibrated.")]
    radii_m: Annotated[dict[str, float], Field(description="The radius by level.")]
    false_accept: Annotated[
        float | None, Field(description="Of photos from elsewhere, the part that is called known; null if not learnt.")
    ]
    several_passes: Annotated[
        bool | None, Field(description="Whether this was learnt from photos of different times; if not, light may mislead it.")
    ]
    matches: Annotated[list[MatchTold], Field(description="Best first; if they were compared point by point, proved ones.")]
    verification: Annotated[VerificationTold | None, Field(description="Null where that was not asked for.")] = None
    seconds: Annotated[
        float, Field(ge=0, description="From the last byte of the photo, or of all photos of a walk, to the answer.")
    ]


class PhotosTold(BaseModel):
    """Some photos of the atlas, in a stable order while the generation stays."""

    photos: list[PhotoTold]
    start: int
    total: int
    generation: Annotated[int, Field(description="How often the atlas was changed; another one may order photos anew.")]


class Point(PhotoTold):
    """A photo that stands for all in its cell of a tile."""

    photos: Annotated[int, Field(ge=1, description="How many photos it stands for.")]


class TileTold(BaseModel):
    """A square of the map: at most one point for each of its 16 x 16 cells."""

    z: int
    x: int
    y: int
    photos: Annotated[int, Field(ge=0, description="Photos in this tile.")]
    points: list[Point]
    generation: int


class PartTold(Place):
    """A part of the map."""

    photos: Annotated[int, Field(ge=1)]
    asked: Annotated[int, Field(ge=0, description="How many of them were located among the others.")]
    found: Annotated[int, Field(ge=0, description="How many of those were located within 25 m.")]
    weakness: Annotated[str | None, Field(description="Why it is weak; null where it is not.")]
    reason: Annotated[str | None, Field(description="The same in words.")]
    example: Annotated[Name | None, Field(description="One of its photos.")]
    taken_for: Annotated[Name | None, Field(description="A photo elsewhere that looks like one of it, where that is its weakness.")]


class CoverageTold(BaseModel):
    """How well the atlas finds its own photos again, part by part; weak parts first."""

    side_m: Annotated[float, Field(description="The side of a part.")]
    weak: Annotated[int, Field(description="How many parts are weak.")]
    total: int
    parts: list[PartTold]
    generation: int


class AtlasTold(BaseModel):
    """What is served."""

    name: str
    images: int
    frame: Annotated[str | None, Field(description="'earth' or 'local'; null while the atlas is empty.")]
    extent: Annotated[
        dict[str, float] | None, Field(description="The bounding box; west may lie east of east across the antimeridian.")
    ]
    model: str
    generation: int
    writable: Annotated[bool, Field(description="Whether photos can be added and removed with the token.")]
    tiles: Annotated[str | None, Field(description="Where the page gets the map under the photos, if anywhere.")]
    attribution: str
    deepest: Annotated[int, Field(description="The deepest zoom of api/tiles.")]
    sizes: Annotated[list[int], Field(description="Sizes of pictures, in pixels on the longer side.")]
    upload_bytes: int
    pixels: int
    walk_photos: Annotated[int, Field(description="Photos of one walk, at most.")]
    walk_bytes: int
    verify: Annotated[int, Field(ge=0, description="Matches of a photo that are compared point by point, at most.")]
    verify_seconds: Annotated[float, Field(description="What that takes at most, for each photo.")]
    unverified: Annotated[str | None, Field(description="Why matches are not compared, in a sentence; null where they are.")]
    unexplained: Annotated[str | None, Field(description="Why there are no heat maps, in a sentence; null where there are.")]
    version: str


class Health(BaseModel):
    """The service is up."""

    status: str = "ok"
    images: int
    generation: int
    waiting: Annotated[int, Field(description="Photos that wait to be located.")]


def coordinates(position: Position) -> dict[str, float | None]:
    """A position as JSON has it."""
    if isinstance(position, LatLon):
        return {"lat": position.lat, "lon": position.lon}
    return {"x_m": position.x_m, "y_m": position.y_m} if isinstance(position, LocalPoint) else {}


def photo_told(photo: Photo) -> PhotoTold:
    """A photo for a client."""
    return PhotoTold(id=photo.name, heading_deg=photo.heading_deg, time=photo.time, **coordinates(photo.position))


def estimate_told(answer: Answer, seconds: float) -> EstimateTold:
    """An estimate for a client."""
    estimate = answer.estimate
    matches = []
    for match in estimate.matches:
        if (photo := answer.edition.at(match.path)) is not None:
            matches.append(
                MatchTold(
                    **photo_told(photo).model_dump(),
                    similarity=min(match.similarity, 1.0),
                    distance_m=distance(estimate.position, match.position),
                    inliers=match.inliers,
                    turned_deg=match.turned,
                    towards_deg=match.towards,
                )
            )
    return EstimateTold(
        known=estimate.known,
        radius_m=estimate.radius,
        calibrated=estimate.calibrated,
        level=estimate.level if estimate.calibrated else None,
        radii_m={f"{level:g}": radius for level, radius in estimate.radii},
        false_accept=estimate.false_accept,
        several_passes=estimate.several_passes,
        matches=matches,
        verification=None if (done := estimate.verification) is None else VerificationTold(**asdict(done)),
        seconds=seconds,
        **coordinates(estimate.position),
    )


def tile_told(edition: Edition, zoom: int, across: int, down: int) -> TileTold:
    """A tile for a client."""
    numbers, counts = edition.squares.tile(zoom, across, down)
    points = [
        Point(**photo_told(photo).model_dump(), photos=count)
        for photo, count in zip(edition.photos(numbers), counts.tolist(), strict=True)
    ]
    return TileTold(z=zoom, x=across, y=down, photos=int(counts.sum()), points=points, generation=edition.generation)


def coverage_told(covered: Covered, limit: int) -> CoverageTold:
    """The coverage for a client."""
    parts = covered.parts

    def named(path: str | None) -> str | None:
        photo = None if path is None else covered.edition.at(path)
        return None if photo is None else photo.name

    told = [
        PartTold(
            photos=part.photos,
            asked=part.asked,
            found=part.found,
            weakness=part.weakness,
            reason=None if part.weakness is None else REASONS[part.weakness],
            example=named(part.example),
            taken_for=named(part.taken_for),
            **coordinates(part.position),
        )
        for part in parts[:limit]
    ]
    weak = sum(part.weakness is not None for part in parts)
    return CoverageTold(side_m=CELL_M, weak=weak, total=len(parts), parts=told, generation=covered.edition.generation)
