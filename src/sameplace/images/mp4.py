"""What the header of an MP4 or MOV file says of the whole film, and OpenCV does not tell: ISO/IEC 14496-12, section 8.2.2."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

AGE_OF_MOV: Final = 2_082_844_800
"""Seconds from 1904, when MOV and MP4 begin to count, to 1970."""
MOST_BOXES = 10_000
"""Boxes of a file that are looked through: an honest one has a few thousand where it is cut into fragments."""


@dataclass(frozen=True, kw_only=True)
class FilmHeader:
    """The box `mvhd`."""

    created: float | None
    """Seconds since 1970; None where it does not say."""
    seconds: float | None
    """What is shown, less than what is stored where a phone trimmed the film by its edit list; None where it does not say."""


def film_header(video: str | Path) -> FilmHeader | None:
    """The header of an MP4 or MOV file; None of any other, or where it is broken."""
    try:
        with Path(video).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if (film := _box(file, b"moov", 0, end)) is None or (header := _box(file, b"mvhd", *film)) is None:
                return None
            file.seek(header[0])
            content = file.read(32)
    except OSError:
        return None
    wide = content[:1] == b"\x01"
    places = (4, 12), (20, 24), (24, 32)
    created, scale, units = (
        int.from_bytes(content[start:end], "big") for start, end in (places if wide else ((4, 8), (12, 16), (16, 20)))
    )
    created -= AGE_OF_MOV
    return FilmHeader(
        created=float(created) if 0 < created < 2**33 else None,
        # All ones stand for a length that was not known when the file was written.
        seconds=units / scale if scale and 0 < units < (2**64 if wide else 2**32) - 1 else None,
    )


def _box(file: BinaryIO, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    """From where to where the content of the first box of a kind goes."""
    for _ in range(MOST_BOXES):
        if start + 8 > end:
            break
        file.seek(start)
        head = file.read(16)
        length, inside = int.from_bytes(head[:4], "big"), start + 8
        if length == 1:
            length, inside = int.from_bytes(head[8:16], "big"), start + 16
        after = end if length == 0 else start + length
        if after < inside:
            break
        if head[4:8] == kind:
            return inside, min(after, end)
        start = after
    return None
