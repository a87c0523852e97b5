"""Training on several processes at once: who does what, and how what they found is put together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed
from torch import Tensor

from sameplace.shapes import Array, Float, Int64

PATIENCE = timedelta(days=2)
"""How long others may wait for the first: a whitening of many images takes hours."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """The processes of a training; every one keeps the same weights, and only the first writes."""

    rank: int = 0
    """Which of them this is, from 0."""
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where this one computes."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which of any items this one takes care of, dealt like cards."""
        return slice(self.rank, None, self.count)

    def part(self, items: int) -> slice:
        """Which of so many neighbouring items this one computes: as many as any other, give or take one."""
        return slice(items * self.rank // self.count, items * (self.rank + 1) // self.count)

    def sum(self, *tensors: Tensor) -> None:
        """Replace each tensor by its sum over all of them; one message for all, in the order given."""
        if self.count == 1 or not tensors:
            return
        message = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(message)
        for tensor, total in zip(tensors, torch.split(message, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def gathered(self, own: Float[Tensor, "part descriptor"], rows: int) -> Float[Tensor, "rows descriptor"]:
        """The rows that each has computed, those of others as constants; `part` says who computes which."""
        if self.count == 1:
            return own
        part = self.part(rows)
        everything = own.new_zeros(rows, own.shape[1])
        everything[part] = own.detach()
        torch.distributed.all_reduce(everything)
        return torch.cat([everything[: part.start], own, everything[part.stop :]])

    def merged(self, numbers: Int64[Array, "items columns"]) -> Int64[Array, "items columns"]:
        """The lines that `share` gave to each, put together; every one holds its own and -1 elsewhere."""
        if self.count == 1:
            return numbers
        message = torch.from_numpy(numbers).to(self.device, copy=True)
        torch.distributed.all_reduce(message, torch.distributed.ReduceOp.MAX)
        merged: Int64[Array, "items columns"] = message.cpu().numpy()
        return merged

    def agree(self, *tensors: Tensor) -> None:
        """Give every one the tensors of the first."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def ranks(device: str | torch.device) -> Iterator[Ranks]:
    """The processes that torchrun has started, or this one alone; on CUDA every process of a machine takes a GPU of its own."""
    device = torch.device(device)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    own_group = not torch.distributed.is_initialized()
    if own_group:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(rank=torch.distributed.get_rank(), count=count, device=device)
    finally:
        if own_group:
            torch.distributed.destroy_process_group()
