"""`sameplace remove`: forget photos."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sameplace.cli.names import Json
from sameplace.cli.output import counted, printable, say, say_json


def remove(
    photos: Annotated[
        list[Path], Parameter(help="Photos, or folders with all that was indexed from them; the files may be gone.", negative="")
    ],
    /,
    *,
    atlas: Annotated[str, Parameter(help="The atlas to take them out of: a folder, or milvus://HOST:PORT/NAME.")],
    json: Json = False,
) -> None:
    """Take photos out of an atlas; the photos themselves stay where they are."""
    from sameplace.atlas import Atlas

    opened = Atlas.open(atlas)
    removed = opened.remove(photos)
    if json:
        say_json({"atlas": str(atlas), "removed": removed, "images": len(opened)})
    else:
        say(f"{printable(str(atlas))}: {counted(removed, 'photo')} removed, {len(opened):,} left")
