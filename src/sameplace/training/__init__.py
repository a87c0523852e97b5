"""Learning from GPS alone: the weakly supervised ranking loss over tuples (section 4 of the paper), rule by rule.

Every name is fetched from its module when it is first asked for: a run, a configuration or a split can be had without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sameplace.training.config import PRESETS, TrainConfig
    from sameplace.training.loop import train
    from sameplace.training.material import KeptBack, Material, fitting_whitening, from_benchmark, from_photos, from_toytowns
    from sameplace.training.progress import Moment
    from sameplace.training.reach import Reach
    from sameplace.training.run import Run, is_run
    from sameplace.training.split import Split, held_out
    from sameplace.training.start import Start, starting_encoder
    from sameplace.training.streets import Streets
    from sameplace.training.toytowns import TOWNS, TOYTOWN
    from sameplace.training.verdict import Verdict, judge
    from sameplace.training.whole import learn

_HOMES = {
    "KeptBack": "material",
    "Material": "material",
    "Moment": "progress",
    "PRESETS": "config",
    "Reach": "reach",
    "Run": "run",
    "Split": "split",
    "Start": "start",
    "Streets": "streets",
    "TOWNS": "toytowns",
    "TOYTOWN": "toytowns",
    "TrainConfig": "config",
    "Verdict": "verdict",
    "fitting_whitening": "material",
    "from_benchmark": "material",
    "from_photos": "material",
    "from_toytowns": "material",
    "held_out": "split",
    "is_run": "run",
    "judge": "verdict",
    "learn": "whole",
    "starting_encoder": "start",
    "train": "loop",
}

__all__ = [
    "PRESETS",
    "TOWNS",
    "TOYTOWN",
    "KeptBack",
    "Material",
    "Moment",
    "Reach",
    "Run",
    "Split",
    "Start",
    "Streets",
    "TrainConfig",
    "Verdict",
    "fitting_whitening",
    "from_benchmark",
    "from_photos",
    "from_toytowns",
    "held_out",
    "is_run",
    "judge",
    "learn",
    "starting_encoder",
    "train",
]


def __getattr__(name: str) -> Any:
    """Fetch a name from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sameplace.training' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"sameplace.training.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        from sameplace.errors import MissingExtra

        raise MissingExtra(f"sameplace.training.{name}", "train") from missing
    globals()[name] = value
    return value
