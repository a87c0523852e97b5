"""`sameplace index`: describe photos and keep them in an atlas."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from sameplace.cli.names import Cached, Json, ModelName, Workers
from sameplace.cli.output import counted, list_problems, note, printable, progress, say, say_json
from sameplace.cli.runtimes import RuntimeName, quickest

if TYPE_CHECKING:
    from sameplace.atlas import Changes
    from sameplace.images import ImageSet


def index(
    photos: Annotated[list[Path], Parameter(help="A folder (searched through), a CSV file, or photos.", negative="")],
    /,
    *,
    to: Annotated[str, Parameter(help="The atlas: a folder that is made, or added to, or milvus://HOST:PORT/NAME.")],
    model: Annotated[
        ModelName | None,
        Parameter(
            help="A published model or a model file; if not given, the atlas's own, or efficientnet-lite0-vlad for a new one."
        ),
    ] = None,
    positions: Annotated[
        Path | None, Parameter(help="A CSV file with the photos' positions, which goes before EXIF and names.")
    ] = None,
    prune: Annotated[bool, Parameter(help="Drop photos that are gone from PHOTOS.", negative="", show_default=False)] = False,
    verify: Annotated[
        bool, Parameter(help="Compare contents even where size and time are unchanged.", negative="", show_default=False)
    ] = False,
    workers: Annotated[
        Workers | None,
        Parameter(help="Threads that read photos, as many as cores if not given; or a Ray cluster, ray://HOST:PORT."),
    ] = None,
    commit_every: Annotated[PositiveInt, Parameter(help="Photos after which all so far are safe on disk.")] = 1000,
    runtime: RuntimeName = "auto",
    cache: Cached = True,
    json: Json = False,
) -> int:
    """Describe geotagged photos and keep them in an atlas; run it again to add what is new."""
    from sameplace.atlas import Atlas
    from sameplace.description import DescriptorCache
    from sameplace.images import ImageSet
    from sameplace.models.loading import FEW

    safe = 0
    with progress("index") as show:

        def watch(done: int, total: int, committed: int) -> None:
            nonlocal safe
            safe = committed
            show(done, total, committed)

        try:
            images = ImageSet.open(photos[0] if len(photos) == 1 else photos, positions)
            atlas = Atlas.open_or_create(to, model)
            new = len(images.files) - len(atlas)
            if new >= FEW or runtime != "auto":
                atlas = Atlas.open_or_create(to, quickest(model or atlas.model.source, runtime, new))
            changes = atlas.add(
                images,
                prune=prune,
                verify=verify,
                workers=workers,
                commit_every=commit_every,
                cache=DescriptorCache(notice=note) if cache else None,
                progress=watch,
            )
        except KeyboardInterrupt:
            done = f"{counted(safe, 'photo')} of this run are safe in {to}" if safe else f"nothing of this run is in {to} yet"
            raise KeyboardInterrupt(f"Interrupted; {done}. The same command goes on from there.") from None
    if json:
        say_json(
            {
                "atlas": str(to),
                "model": atlas.model.name,
                "images": len(atlas),
                "added": changes.added,
                "updated": changes.updated,
                "removed": changes.removed,
                "skipped": [{"path": problem.path, "reason": problem.reason} for problem in changes.skipped],
                "seconds": round(changes.seconds, 3),
            }
        )
    else:
        news = f"{changes.added:,} added, {changes.updated:,} updated, {changes.removed:,} removed"
        say(f"{printable(str(to))}: {counted(len(atlas), 'photo')} ({news}) in {changes.seconds:.1f} s with {atlas.model.name}")
        list_problems(f"{counted(len(changes.skipped), 'photo')} left out", changes.skipped)
    if not len(atlas) or _all_left_out(images, changes):
        note(
            "sameplace: Nothing could be indexed; photos with GPS in their EXIF data, or a CSV given with --positions, are wanted."
        )
        return 1
    return 0


def _all_left_out(images: "ImageSet", changes: "Changes") -> bool:
    """Whether there were photos, and not one of them could be used."""
    unused = {problem.path for problem in set(changes.skipped) - set(images.problems)}  # the latter also tell of single rows
    return bool(changes.skipped) and all(file.path in unused for file in images.files)
