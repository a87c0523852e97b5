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
        or any(added >= kernel for added, kernel in zip(_pair(padding), weight.shape[2:], strict=True))
    ):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    halves = [None if tensor is None else tensor.to(torch.bfloat16) for tensor in (input, weight, bias)]
    maps: Tensor = _Depthwise.apply(*halves, _pair(padding))  # type: ignore[no-untyped-call]
    return maps


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    both = (value, value) if isinstance(value, int) else tuple(value)
    return both[0], both[-1]


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution of stride one."""

    @staticmethod
    def forward(context: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        """The convolved maps."""
        context.save_for_backward(maps, weight)
        context.padding = padding
        return F.conv2d(maps, weight, bias, padding=padding, groups=len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """All are depthwise convolutions again: of the gradient by the turned kernels, and of the maps by the gradient."""
        maps, weight = context.saved_tensors
        (gradient,) = gradients
        of_maps = of_bias = None
        if context.needs_input_grad[0]:
            around = tuple(kernel - 1 - added for kernel, added in zip(weight.shape[2:], context.padding, strict=True))
            of_maps = F.conv2d(gradient, weight.flip(2, 3), padding=around, groups=len(weight))
        of_weight = torch.zeros(weight.shape, dtype=torch.float32)
        for image, of_image in zip(maps, gradient, strict=True):  # side by side they would have to be copied
            of_weight += F.conv2d(image[None], of_image[:, None], padding=context.padding, groups=len(weight)).transpose(0, 1)
        if context.needs_input_grad[2]:
            of_bias = gradient.sum(dim=(0, 2, 3))
        return of_maps, of_weight.to(weight.dtype), of_bias, None
