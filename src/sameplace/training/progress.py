"""What a training tells while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["plan", "maps", "verification", "vocabulary", "whitening", "mining", "training", "validation"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where a training is: so much of a stage is done."""

    stage: Stage
    done: int
    total: int
    epoch: int = 0
    """The epoch, from 1; 0 before the first."""
    epochs: int = 0
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """What is known: loss, violating and rate while training; recall@1, recall@5 and recall@10 after validation."""
    text: str = ""
    """What people should read: the plan before training starts."""


Watcher: TypeAlias = Callable[[Moment], None]
"""Is told of every moment; what it raises ends the training, which can be resumed."""
