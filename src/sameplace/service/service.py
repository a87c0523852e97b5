"""A served atlas: what its parts share, from the start to the end of the process."""

from dataclasses import dataclass
from pathlib import Path

from anyio import CapacityLimiter

from sameplace import models
from sameplace.atlas.manifest import check_describer, read_manifest
from sameplace.describer import Describer
from sameplace.models.why import Explainer
from sameplace.service.changes import Changes
from sameplace.service.edition import Editions
from sameplace.service.explaining import Explaining
from sameplace.service.line import Line
from sameplace.service.metrics import Metrics
from sameplace.service.pictures import Pictures
from sameplace.service.proving import Proving
from sameplace.service.questions import Questions
from sameplace.service.settings import Settings
from sameplace.service.storage import Storage
from sameplace.service.turns import Turns
from sameplace.service.upload import Room
from sameplace.service.weakness import Weakness
from sameplace.threads import usable_cores
from sameplace.verification import Verifier

EXPLAINED, WALKING = 64, 8
"""Heat maps, and walks, that may wait for their turn: the last of them would wait for about half a minute."""


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
    explaining: Explaining
    proving: Proving
    metrics: Metrics
    room: Room
    decoding: CapacityLimiter
    """Photos decoded at a time: each may take hundreds of megabytes while it lasts."""
    thinking: CapacityLimiter
    """Those who wait for the coverage: they must not take the threads of all others."""
    explanations: Line
    """Heat maps are made one pair at a time."""
    walks: Line
    """Walks are located one at a time, their photos described in turns with those of others."""

    @classmethod
    def start(
        cls,
        atlas: Path,
        settings: Settings,
        model: str | Path | Describer | None = None,
        *,
        explainer: Explainer | None = None,
        verifier: Verifier | None = None,
    ) -> "Service":
        """Open the atlas and its model; AtlasError or ModelError where that cannot be, before anybody has asked.

        What makes heat maps and what compares points are found by themselves where they are not given.
        """
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
        proving = Proving(most=settings.verify, seconds=settings.verify_seconds, waiting=settings.waiting, verifier=verifier)
        explanations, walks = Line(1, min(EXPLAINED, settings.waiting)), Line(1, min(WALKING, settings.waiting))
        metrics.gauge("proofs_waiting", "Photos that wait to be compared with matches.", lambda: len(proving.line))
        metrics.gauge("explanations_waiting", "Heat maps that wait to be made.", lambda: len(explanations))
        metrics.gauge("walks_waiting", "Walks that wait to be located.", lambda: len(walks))
        metrics.gauge("upload_bytes_held", "Bytes of uploads in memory.", lambda: room.held)
        return cls(
            settings=settings,
            editions=editions,
            questions=questions,
            changes=changes,
            pictures=Pictures(blurred=settings.blur),
            weakness=Weakness(editions.newest),
            explaining=Explaining(chosen, describer, explainer),
            proving=proving,
            metrics=metrics,
            room=room,
            decoding=CapacityLimiter(usable_cores()),
            thinking=CapacityLimiter(2),
            explanations=explanations,
            walks=walks,
        )

    def close(self) -> None:
        """Finish what was begun."""
        self.questions.close()
        if self.changes is not None:
            self.changes.close()
