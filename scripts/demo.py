"""Try sameplace on a drawn town: index the first pass, locate the second, say how far off it is, and write the map page."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from sameplace import Atlas, Estimate, ImageSet, Position, distance
from sameplace.atlas.page import write_page
from sameplace.cli.output import metres, place, progress
from sameplace.datasets.toytown import draw

SHOWN = 8
RIGHT_M = 25.0
BY_HAND = """
{page} shows every photo, what was found for it, and the map: open it in a browser.

The same by hand:
    {bin}/sameplace toytown {town}
    {bin}/sameplace index {town}/database --to {atlas}
    {bin}/sameplace locate {town}/queries --atlas {atlas} --map {page}"""


def main(folder: Path) -> None:
    """Make the town, the atlas and the page in a folder."""
    town, kept, page = folder / "toytown", folder / "toytown.atlas", folder / "map.html"
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

    report(estimates, truth)
    write_page(page, estimates, atlas.positions(), own=truth)
    print(BY_HAND.format(page=page, town=town, atlas=kept, bin=os.path.relpath(Path(sys.executable).parent)))


def told(what: str, started: float) -> None:
    """Say what was done, and how long it took."""
    print(f"{what}: {perf_counter() - started:.1f} s")


def report(estimates: Sequence[Estimate], truth: Mapping[str, Position]) -> None:
    """Say where some photos are and how far off that is, then how it went with all of them, the failures included."""
    off = {estimate.photo: distance(estimate.position, truth[estimate.photo]) for estimate in estimates}
    print(f"\n{'photo':<10}  {'was taken at':<22}  {'off by':>8}  known?")
    for estimate in estimates[:: max(len(estimates) // SHOWN, 1)][:SHOWN]:
        known = {True: "yes", False: "no", None: "cannot tell"}[estimate.known]
        print(f"{Path(estimate.photo).name:<10}  {place(estimate.position):<22}  {metres(off[estimate.photo]):>8}  {known}")
    right = [estimate for estimate in estimates if off[estimate.photo] <= RIGHT_M]
    claimed = [estimate for estimate in estimates if estimate.known]
    rightly = sum(off[estimate.photo] <= RIGHT_M for estimate in claimed)
    print(
        f"\nOf {len(estimates)} photos {len(right)} were placed within {metres(RIGHT_M)} of where they were taken "
        f"(half of all within {metres(median(off.values()))}); the other {len(estimates) - len(right)} were placed wrongly."
        f"\nIt called {len(claimed)} of the places known, and was right within {metres(RIGHT_M)} in {rightly} of these."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
