"""Sets of images: the files that a folder, a list or a CSV stands for, cheaply, and on demand what is known about each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sameplace.errors import ImageError, PositionError, SameplaceError
from sameplace.images.exif import from_exif
from sameplace.images.positions import ImageRecord, from_name, from_row
from sameplace.images.survey import ImageFile, Problem, Survey, absolute, common_folder


class ImageSet:
    """Photos in order of their paths, with what could not be used.

    Where a photo was taken is told by its row of the nearest positions.csv, else by a name like `@east@north@zone@...@.jpg`,
    else by its EXIF data; a row without a position leaves it to the others.
    """

    def __init__(self, root: Path, files: Sequence[ImageFile], problems: Sequence[Problem], origins: Mapping[str, str]) -> None:
        self.root = root
        self.files = tuple(sorted(files, key=lambda file: file.path))
        self._problems = dict.fromkeys(problems)
        self._origins = origins

    @classmethod
    def open(
        cls, source: str | Path | Sequence[str | Path], positions: str | Path | None = None, *, ask_tables: bool = True
    ) -> "ImageSet":
        """Find the photos of a folder and its sub-folders, of a CSV with a column `file`, or of a list of photos, folders and CSVs.

        In a folder, hidden files and files without an image's suffix are passed over, unless a positions.csv names them. The file
        paths in a CSV start at its folder. `positions` is a CSV that is asked before all others and adds no photos; its file paths
        may also start at the folder of photos. Where positions do not matter, `ask_tables=False` leaves every positions.csv unread.
        ImageError where nothing is there, PositionError where a CSV that was given is none; a positions.csv that is none is a
        problem.
        """
        sources = [absolute(path) for path in ([source] if isinstance(source, str | Path) else source)]
        if sources and not any(Path(path).exists() for path in sources):
            raise ImageError(f"There is nothing at {sources[0]}; give a folder of photos, photos, or a CSV with a column `file`.")
        survey, root = Survey(), Path(common_folder(sources))
        survey.include(sources, ask_tables=ask_tables)
        if positions is not None:
            table = Path(absolute(positions))
            survey.place(str(table), (str(table.parent), str(root)), known_only=True)
        return cls(root, survey.files(), survey.problems, survey.origins)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not be used so far; `records` may find more."""
        return tuple(self._problems)

    def record(self, file: ImageFile) -> ImageRecord:
        """What is known about a photo; it is opened only where neither its row nor its name gives a position.

        ImageError where it then is no image, PositionError where its row or name cannot be understood.
        """
        path = Path(file.path)
        record = ImageRecord(path=path)
        try:
            if file.row:
                record = from_row(path, json.loads(file.row))
        except PositionError as error:
            raise PositionError(f"{self._origins.get(file.path, 'A positions.csv')}: {error}") from error
        if record.position is None and (named := from_name(path)) is not None:
            record = record.completed(named)
        return record if record.position is not None else record.completed(from_exif(path))

    def records(self) -> tuple[ImageRecord, ...]:
        """What is known about all photos, in order; those that cannot be understood are left out and listed in `problems`."""
        return tuple(self._readable())

    def _readable(self) -> Iterator[ImageRecord]:
        for file in self.files:
            try:
                yield self.record(file)
            except SameplaceError as error:
                self._problems[Problem(path=file.path, reason=str(error))] = None
