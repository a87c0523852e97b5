"""Try sameplace on a drawn town: index the first pass, locate the second, say how far off it is, and write the map page."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

from sameplace import Atlas, Estimate, ImageSet, Position, distance
from sameplace.atlas.page import write_page
from sameplace.cli.output import metres, place, progress
from sameplace.datasets.toytown import draw
from sameplace.images import Problem

RIGHT_M = 25.0
ELSEWHERE = 50
BY_HAND = """
{page} shows every photo, what was found for it, and the map: open it in a browser.

The same by hand:
    {bin}/sameplace toytown {town}
    {bin}/sameplace index {town}/database --to {atlas}
    {bin}/sameplace locate {town}/queries --atlas {atlas} --map {page}"""


def main(folder: Path) -> None:
    """Make the town, the atlas and the page in a folder."""
    town, kept, page = folder / "toytown", folder / "toytown.atlas", folder / "map.html"
    elsewhere = folder / "elsewhere"
    started = perf_counter()
    draw(town)
    told("Drew a town of 100 places, photographed on two passes", started)

    started = perf_counter()
    with progress("index") as show:
        atlas = Atlas.build(town / "database", at=kept, progress=show)
    told(f"Indexed the first pass (by day), {len(atlas)} photos, with {atlas.model.name}", started)

    started = perf_counter()
    truth = {str(record.path): record.position for record in ImageSet.open(town / "queries").records() if record.position}
    with progress("locate") as show:
        estimates: list[Estimate] = []
        for answer in atlas.locate_all(list(truth), top=5):
            if isinstance(answer, Estimate):
                estimates.append(answer)
            show(len(estimates), len(truth))
    told(f"Located the second pass (dusk, night, rain, fog), {len(estimates)} photos", started)

    started = perf_counter()
    draw(elsewhere, places=ELSEWHERE, seed=1)
    others = [
        answer
        for answer in atlas.locate_all([file.path for file in ImageSet.open(elsewhere).files])
        if not isinstance(answer, Problem)
    ]
    told(f"Asked it for another town, {len(others)} photos", started)

    report(estimates, others, truth, atlas.one_pass)
    write_page(page, estimates, atlas.positions(), own=truth, coverage=atlas.coverage())
    print(BY_HAND.format(page=page, town=town, atlas=kept, bin=os.path.relpath(Path(sys.executable).parent)))


def told(what: str, started: float) -> None:
    """Say what was done, and how long it took."""
    print(f"{what}: {perf_counter() - started:.1f} s")


def report(estimates: Sequence[Estimate], others: Sequence[Estimate], truth: Mapping[str, Position], one_pass: bool) -> None:
    """Say where some photos are and how far off that is, then how it went with all of them, the failures included."""
    off = {estimate.photo: distance(estimate.position, truth[estimate.photo]) for estimate in estimates}
    right = [estimate for estimate in estimates if off[estimate.photo] <= RIGHT_M]
    sure, unsure = ([estimate for estimate in estimates if bool(estimate.known) == known] for known in (True, False))
    print(f"\n{'photo':<10}  {'best guess':<22}  {'off by':>8}  verdict")
    for estimate in [*some(sure, 3), *some(unsure, 5)]:
        known = {True: "known", False: "not sure", None: "cannot tell"}[estimate.known]
        print(f"{Path(estimate.photo).name:<10}  {place(estimate.position):<22}  {metres(off[estimate.photo]):>8}  {known}")
    rightly = sum(off[estimate.photo] <= RIGHT_M for estimate in sure)
    print(
        f"\nOf {len(estimates)} photos {len(right)} were found again: the best guess lies within {metres(RIGHT_M)}."
        f"\nOf {len(sure)} it says that it knows the place; {rightly} of these are right."
        f"\nOf {len(unsure)} it says that it is not sure; {len(right) - rightly} of these are right."
        f"\nOf {len(others)} photos of another town it takes {sum(bool(other.known) for other in others)} for places that it knows."
    )
    if one_pass and len(right) > rightly:
        print(
            "It is so careful because this atlas knows the town by day alone: a photo by night is unlike all of it,\n"
            "and a right guess hardly stands out. Photos of the same places taken at another time would help."
        )


def some(estimates: Sequence[Estimate], count: int) -> Sequence[Estimate]:
    """So many of them, evenly spread."""
    return estimates[:: max(len(estimates) // count, 1)][:count]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
