"""Models computed by torch in a stated precision on a stated device, after photos have shown that it may be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sameplace.describer import Describer
from sameplace.errors import ModelError
from sameplace.images import read_image
from sameplace.modelfile import AGREEMENT_WANTED
from sameplace.models.catalogue import find
from sameplace.models.loading import _network
from sameplace.runtime.agreement import agreement, computed

FEWEST = 20
"""Photos from which an agreement can be told."""


def on_torch(
    name_or_file: str | Path,
    *,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    device: str = "cpu",
    measured_on: Sequence[str | Path] = (),
) -> Describer:
    """A model on torch: float32 as it is, bfloat16 on a CPU that has it, bfloat16 or float16 on a CUDA device.

    `measured_on` are photos like those to be described: on them a lower precision must agree with float32, on the same device,
    before it is used. Raises ModelError where it does not, or where fewer than 20 are given.
    """
    source = find(name_or_file)
    if source.suffix != ".safetensors":
        raise ModelError(f"{source.name} is an export, and torch needs the model that it was made from; give that.")
    if precision != "float32" and len(measured_on) < FEWEST:
        raise ModelError(
            f"{source.stem} was to be computed in {precision}, which must be measured first on at least {FEWEST} photos, got "
            f"{len(measured_on)}; name more in measured_on, or compute it in float32."
        )
    encoder, made = _network("encoder", "Computing with torch").Encoder.load(source), _network("mixed", "Computing with torch")
    exact: Describer = made.MixedDescriber(encoder, device=device)
    if precision == "float32":
        return exact
    lower = made.MixedDescriber(encoder, precision=precision, device=device)
    shown = np.stack([read_image(photo, exact.size) for photo in measured_on])
    measured = agreement(computed(lower, shown), computed(exact, shown))
    if not measured.passed:
        raise ModelError(
            f"{lower.name} was to be computed in {precision}, whose descriptors must agree with those in float32 by a cosine of "
            f"{AGREEMENT_WANTED} at the 5th percentile, but only {measured.cosine:.4f} was measured; compute it in float32."
        )
    lower.agreement = measured.cosine
    allowed: Describer = lower
    return allowed
