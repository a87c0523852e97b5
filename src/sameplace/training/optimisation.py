"""How weights move: learning rate, optimiser, precision, moving average."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sameplace.network.netvlad import NetVLAD
from sameplace.shapes import Float
from sameplace.training.config import TrainConfig
from sameplace.training.learner import Learner


def schedule(config: TrainConfig, progress: float) -> float:
    """The share of the learning rate that is left after `progress` epochs.

    >>> [schedule(TrainConfig(), epoch) for epoch in (0.0, 4.9, 5.0, 10.0)]
    [1.0, 1.0, 0.5, 0.25]
    """
    if config.schedule == "halving":
        return 0.5 ** (int(progress) // config.halve_every)
    return 0.5 * (1 + math.cos(math.pi * min(progress / config.epochs, 1)))


def rate(config: TrainConfig, progress: float, step: int) -> float:
    """The learning rate of a step, counted from 0, after `progress` epochs; it rises over the steps of the warm-up."""
    return config.learning_rate * schedule(config, progress) * min(1.0, (step + 1) / max(config.warm_up, 1))


def queries_between_refreshes(config: TrainConfig, progress: float) -> int:
    """The descriptors that mining searches last for so many queries: twice as many whenever the rate is halved.

    >>> [queries_between_refreshes(TrainConfig(), epoch) for epoch in (0.0, 5.0, 10.0)]
    [1000, 2000, 4000]
    """
    # Half a step of rounding: a cosine at its middle is a half but for the last digit. At its end the rate is nothing.
    halvings = math.floor(-math.log2(max(schedule(config, progress), 2.0**-32)) + 1e-9)
    return config.refresh << halvings


class Optimisation:
    """The weights that learn, and what the optimiser remembers of them.

    Gradients of several tuples or batches are added up by `backward`; `step` divides them and moves the weights.
    """

    def __init__(self, learner: Learner, config: TrainConfig) -> None:
        self.weights = {name: weight for name, weight in learner.named_parameters() if weight.requires_grad}
        assignment = {id(weight) for weight in _assignment(learner.aggregator)}
        fast = [weight for weight in self.weights.values() if id(weight) in assignment]
        others = [weight for weight in self.weights.values() if id(weight) not in assignment]
        groups = [{"params": others, "share": 1.0}, {"params": fast, "share": config.assignment_rate}]
        self._optimiser = _optimiser([group for group in groups if group["params"]], config)
        self._scaler = torch.amp.GradScaler(learner.device.type, enabled=config.precision == "float16")
        self._decay = config.average
        self._average = {name: weight.detach().clone() for name, weight in self.weights.items()} if config.average else {}

    def backward(self, loss: Float[Tensor, ""]) -> None:
        """Add the gradients of a loss."""
        torch.autograd.backward(self._scaler.scale(loss))

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients that were added up, zeros where there are none, still scaled in half precision."""
        for weight in self.weights.values():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        return [weight.grad for weight in self.weights.values() if weight.grad is not None]

    def step(self, learning_rate: float, *, divisor: int) -> None:
        """Move the weights by the gradients over `divisor`; where that is nothing, no weight moves."""
        if divisor:
            for group in self._optimiser.param_groups:
                group["lr"] = learning_rate * group["share"]
            self._scaler.unscale_(self._optimiser)
            for gradient in self.gradients:
                gradient.div_(divisor)
            self._scaler.step(self._optimiser)
            self._scaler.update()
            for name, average in self._average.items():
                average.lerp_(self.weights[name].detach(), 1 - self._decay)
        self._optimiser.zero_grad(set_to_none=True)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network with the moving average of its weights, where one is kept."""
        moving = {name: self.weights[name].detach().clone() for name in self._average}
        try:
            self._fill(self._average)
            yield
        finally:
            self._fill(moving)

    def state(self) -> dict[str, Tensor]:
        """All that decides what comes next, by name."""
        kept = {f"weights.{name}": weight.detach() for name, weight in self.weights.items()}
        kept |= {f"average.{name}": average for name, average in self._average.items()}
        for name, weight in self.weights.items():
            remembered = self._optimiser.state.get(weight, {})
            kept |= {f"optimiser.{key}.{name}": value for key, value in remembered.items() if value is not None}
        scaler = self._scaler.state_dict()
        return kept | {f"scaler.{key}": torch.tensor(value, dtype=torch.float64) for key, value in scaler.items()}

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._fill({name: state[f"weights.{name}"] for name in self.weights})
        for name, average in self._average.items():
            average.copy_(state[f"average.{name}"])
        for key, value in state.items():
            kind, _, rest = key.partition(".")
            if kind == "optimiser":
                what, _, name = rest.partition(".")
                weight = self.weights[name]
                # AdamW counts its steps on the CPU; its averages lie beside the weights.
                kept = value.clone() if value.dim() == 0 else value.to(weight.device, copy=True)
                self._optimiser.state[weight][what] = kept
        known = self._scaler.state_dict()
        if known:
            kinds = {name: type(value) for name, value in known.items()}
            self._scaler.load_state_dict({name: kind(state[f"scaler.{name}"].item()) for name, kind in kinds.items()})

    @torch.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.weights[name].copy_(value)


def _assignment(aggregator: nn.Module) -> list[Tensor]:
    """The weights of the soft assignment of NetVLAD."""
    if not isinstance(aggregator, NetVLAD):
        return []
    return [aggregator.assignment, *([] if aggregator.bias is None else [aggregator.bias])]


def _optimiser(groups: list[dict[str, object]], config: TrainConfig) -> torch.optim.Optimizer:
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay)
