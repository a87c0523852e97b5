"""Array types for signatures: `Float[Array, "batch dim"]` says what an array holds and how its axes are called.

mypy and the tests see jaxtyping's types, which beartype then checks on every call. Importing jaxtyping costs a quarter of a
second, so everybody else gets inert stand-ins: the real types are used only where jaxtyping was imported before sameplace, as
pytest's `--jaxtyping-packages` does.
"""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

Array = np.ndarray

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float16, Float32, Float64, Int, Int64, Num, UInt8
else:

    class _Inert:
        """Stands for every array type where nobody checks them."""

        def __class_getitem__(cls, item: object) -> Any:
            return Any

    Bool = Float = Float16 = Float32 = Float64 = Int = Int64 = Num = UInt8 = _Inert

__all__ = ["Array", "Bool", "Float", "Float16", "Float32", "Float64", "Int", "Int64", "Num", "UInt8"]
