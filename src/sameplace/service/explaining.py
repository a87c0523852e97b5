"""Heat maps: what of two photos made them similar, as the model of the atlas sees them."""

import logging
import threading
from http import HTTPStatus
from pathlib import Path

from sameplace.atlas.why import Heat, heat
from sameplace.describer import Describer
from sameplace.errors import ImageError, ModelError, SameplaceError
from sameplace.images import read_image
from sameplace.models.loading import baselines
from sameplace.models.why import Explainer, Seen, explained
from sameplace.service.pictures import GONE
from sameplace.service.problems import Refusal
from sameplace.service.turns import Turns


class Explaining:
    """The model that explains, loaded when it is first asked; `why_not` says in a sentence why there is none."""

    def __init__(self, model: str | Path | Describer, turns: Turns, explainer: Explainer | None = None) -> None:
        self._model = model
        self._turns = turns
        self._explainer = explainer
        self._lock = threading.Lock()
        self.why_not = None if explainer else _why_not(model, turns.name)

    def heat(self, photo: bytes, match: Path) -> Heat:
        """The heat maps of a photo and of one of the atlas; FileNotFoundError where that one has gone."""
        explainer = self._loaded()
        query = self._seen(explainer, photo)
        try:
            other = self._seen(explainer, match)
        except ImageError:  # whose sentence names the file
            raise FileNotFoundError(GONE) from None
        return heat(explainer, query, other)

    def _seen(self, explainer: Explainer, photo: bytes | Path) -> Seen:
        image = read_image(photo, explainer.size)
        with self._turns.turn:  # it is the same work for the same cores
            return explainer.see(image)

    def _loaded(self) -> Explainer:
        with self._lock:
            if self._explainer is None and self.why_not is None and isinstance(self._model, str | Path):
                try:
                    self._explainer = Explainer(self._model)
                except SameplaceError as error:
                    logging.getLogger(__name__).warning("There are no heat maps: %s", error)
                    self.why_not = f"There are no heat maps: {self._turns.name} cannot be looked into on this machine."
            if self._explainer is None:
                raise Refusal(HTTPStatus.CONFLICT, str(self.why_not))
            return self._explainer


def _why_not(model: str | Path | Describer, name: str) -> str | None:
    if isinstance(model, str | Path) and str(model) not in baselines():
        try:
            explained(model)
        except ModelError as error:
            return f"There are no heat maps: {error}"
        return None
    return f"There are no heat maps: {name} cannot tell what of a photo matched, as a model with a NetVLAD layer can."
