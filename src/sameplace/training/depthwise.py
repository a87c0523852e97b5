"""A quick gradient for depthwise convolutions with large kernels in bfloat16, where the CPU's library has only a slow one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

LARGE = 5
"""From this kernel size on; a kernel of three by three has a quick gradient already."""


class QuickDepthwise(TorchFunctionMode):
    """Within it, such convolutions give the same maps and take a tenth of the time for the gradient of their weights."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.conv2d and torch.is_grad_enabled():
            return _convolved(*args, **kwargs)
        return func(*args, **kwargs)


def _convolved(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.conv2d`, by another way where that is quicker."""
    plain = {stride, dilation} if isinstance(stride, int) and isinstance(dilation, int) else {*_pair(stride), *_pair(dilation)}
    half = torch.is_autocast_enabled(input.device.type) and torch.get_autocast_dtype(input.device.type) == torch.bfloat16
    if (
        input.device.type != "cpu"
        or not (half or input.dtype == torch.bfloat16)
        or not weight.requires_grad
        or not groups == len(weight) == input.shape[1]
        or min(weight.shape[2:]) < LARGE
        or plain != {1}
        or isinstance(padding, str)
    ):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    rows, columns = _pair(padding)
    maps: Tensor = _Depthwise.apply(  # type: ignore[no-untyped-call]
        input.to(torch.bfloat16), weight.to(torch.bfloat16), (rows, columns)
    )
    return maps if bias is None else maps + bias.to(torch.bfloat16)[:, None, None]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    both = (value, value) if isinstance(value, int) else tuple(value)
    return both[0], both[-1]


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of stride one."""

    @staticmethod
    def forward(context: Any, maps: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        """The convolved maps."""
        context.save_for_backward(maps, weight)
        context.padding = padding
        return F.conv2d(maps, weight, padding=padding, groups=len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """That of the maps as ever; that of the weights is a depthwise convolution again, of the maps by the gradient."""
        maps, weight = context.saved_tensors
        (gradient,) = gradients
        of_maps, _, _ = torch.ops.aten.convolution_backward(
            gradient, maps, weight, None, [1, 1], context.padding, [1, 1], False, [0, 0], len(weight), [True, False, False]
        )
        of_weight = torch.zeros(weight.shape, dtype=torch.float32)
        for image, of_image in zip(maps, gradient, strict=True):
            of_weight += F.conv2d(image[None], of_image[:, None], padding=context.padding, groups=len(weight)).transpose(0, 1)
        return of_maps, of_weight.to(weight.dtype), None
