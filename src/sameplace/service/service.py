"""A served atlas: what its parts share, from the start to the end of the process."""

from dataclasses import dataclass
from pathlib import Path

from anyio import CapacityLimiter

from sameplace import models
from sameplace.atlas.manifest import check_describer, read_manifest
from sameplace.describer import Describer
from sameplace.service.changes import Changes
from sameplace.service.edition import Editions
from sameplace.service.metrics import Metrics
from sameplace.service.pictures import Pictures
from sameplace.service.questions import Questions
from sameplace.service.settings import Settings
from sameplace.service.storage import Storage
from sameplace.service.turns import Turns
from sameplace.service.upload import Room
from sameplace.service.weakness import Weakness
from sameplace.threads import usable_cores


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """Everything that lives as long as the service does."""

    settings: Settings
    editions: Editions
    questions: Questions
    changes: Changes | None
    """None where nobody may write."""
    pictures: Pictures
    weakness: Weakness
    metrics: Metrics
    room: Room
    decoding: CapacityLimiter
    """Photos decoded at a time: each may take hundreds of megabytes while it lasts."""
    thinking: CapacityLimiter
    """Those who wait for the coverage: they must not take the threads of all others."""

    @classmethod
    def start(cls, atlas: Path, settings: Settings, model: str | Path | Describer | None = None) -> "Service":
        """Open the atlas and its model; AtlasError or ModelError where that cannot be, before anybody has asked."""
        manifest = read_manifest(atlas)
        chosen = model if model is not None else manifest.model.source
        describer = Turns(models.describer(chosen) if isinstance(chosen, str | Path) else chosen)
        check_describer(atlas, manifest, describer)
        editions = Editions(atlas, describer)
        editions.newest().at("")  # looks through all photos once, so that the first question need not
        metrics, room = Metrics(), Room(settings.held_bytes)
        changes = None
        if settings.token is not None:
            storage = Storage(settings.uploads or atlas.with_name(f"{atlas.name}-uploads"))
            changes = Changes(editions, storage, waiting=settings.waiting)
        questions = Questions(editions.newest, waiting=settings.waiting, told=metrics.answered)
        metrics.gauge("photos", "Photos in the atlas.", lambda: len(editions.newest()))
        metrics.gauge("generation", "How often the atlas was changed.", lambda: editions.newest().generation)
        metrics.gauge("questions_waiting", "Photos that wait to be located.", lambda: len(questions))
        metrics.gauge("upload_bytes_held", "Bytes of uploads in memory.", lambda: room.held)
        return cls(
            settings=settings,
            editions=editions,
            questions=questions,
            changes=changes,
            pictures=Pictures(blurred=settings.blur),
            weakness=Weakness(editions.newest),
            metrics=metrics,
            room=room,
            decoding=CapacityLimiter(usable_cores()),
            thinking=CapacityLimiter(2),
        )

    def close(self) -> None:
        """Finish what was begun."""
        self.questions.close()
        if self.changes is not None:
            self.changes.close()
