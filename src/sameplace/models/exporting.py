"""A model as one self-contained file for other programs and quicker runtimes, checked against torch before it is kept."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sameplace.describer import Describer
from sameplace.errors import ImageError, ModelError
from sameplace.images import ImageSet, read_image
from sameplace.modelfile import AGREEMENT_WANTED, Agreement
from sameplace.models.catalogue import find
from sameplace.models.loading import INT8, _network
from sameplace.runtime.agreement import agreement, computed, with_bfloat16
from sameplace.runtime.onnx import OnnxDescriber
from sameplace.runtime.openvino import OpenVINODescriber
from sameplace.runtime.quantisation import learnt_ranges, quantise, written, written_by_ranges
from sameplace.runtime.ranges import Ranges, ranges_file
from sameplace.shapes import Array, Float32, UInt8

TOLERANCE = 1e-3
"""Length of the difference to torch's descriptor, of length 1, that float32 may have: sums are taken in another order."""
DRAWN = 4
"""Images that are drawn to check an export where no photos are given."""
CALIBRATED_ON, MEASURED_ON, FEWEST = 300, 200, 20


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and how it compares with torch."""

    path: Path
    """The file; beside an .xml file lies its .bin."""
    precision: str
    bytes: int
    difference: float | None
    """The largest difference to torch's descriptors, as a length; None for int8, which is measured by its agreement."""
    agreement: Mapping[str, Agreement]
    """For each lower precision that was measured on photos."""


def export(
    model: str | Path,
    *,
    to: Literal["onnx", "openvino"] = "onnx",
    int8: bool = False,
    calibration: str | Path | Sequence[str | Path] | None = None,
    at: str | Path | None = None,
    encoder: Any = None,
    validate: Callable[[Describer, Describer], object] | None = None,
) -> Exported:
    """Write a model as one file that takes uint8 RGB images of its size and gives descriptors, and that sameplace takes as a model.

    `int8` makes the trunk's arithmetic int8, for OpenVINO; aggregation and whitening stay in float32. It needs `calibration`: real
    photos like those to be described, half of which measure the agreement. With photos and a processor that has bfloat16, the
    agreement in that is measured, too. `at` is the file; by default one named after the model, in this folder. A model whose
    backbone is its author's own needs its `encoder`. `validate` is shown the model in int8 and in float32 before it is kept, and
    raises what speaks against it. Raises ModelError where the export differs too much. Nothing is written where anything is raised.
    """
    source = find(model)
    if source.suffix != ".safetensors":
        raise ModelError(f"{source.name} is an export already; give the model that it was made from.")
    if int8 and to != "openvino":
        raise ModelError("An int8 export is for OpenVINO; ask for it with --to openvino.")
    if int8 and calibration is None:
        raise ModelError("int8 needs real photos to be calibrated on; name their folder with --calibration.")
    if validate is not None and not int8:
        raise ModelError("Only an int8 export is validated; ask for one with --int8, or leave the validation out.")
    target = _target(source, to, int8, at)
    encoder = encoder or _network("encoder", "Exporting").Encoder.load(source)
    photos = None if calibration is None else _photos(calibration, encoder.size)
    with _beside(target) as folder:
        made = _made(source, folder / target.name, int8, encoder, photos, validate)
        for file in sorted(folder.glob(f"{target.stem}.*"), key=lambda file: file.suffix == target.suffix):
            file.replace(target.parent / file.name)  # the .bin first: an .xml without it is no model
    files = [target, target.with_suffix(".bin")] if to == "openvino" else [target]
    return replace(made, path=target, bytes=sum(file.stat().st_size for file in files))


def measure_bfloat16(model: str | Path, photos: Sequence[str | Path]) -> Agreement:
    """Measure on photos how well bfloat16 agrees with float32, and let the graph beside a model say so.

    From then on OpenVINO computes the model in bfloat16 where the agreement passed. For models that are published.
    """
    source = find(model)
    exact = OnnxDescriber(source)
    shown = _photos(photos, exact.size)[:MEASURED_ON]
    about = with_bfloat16(source, shown, computed(exact, shown))
    _network("export", "Exporting").stamp(source.with_suffix(".onnx"), about)
    return about.agreement["bfloat16"]


def measure_int8(model: str | Path, photos: Sequence[str | Path], *, described: str) -> Agreement:
    """Learn the ranges of a trunk's maps on half of the photos, measure the agreement on the others, and keep both beside a model.

    From then on OpenVINO computes the model in int8, without an export. `described` says which photos they are. For models that
    are published. Raises ModelError, and keeps nothing, where the agreement is too low.
    """
    source = find(model)
    exact = OnnxDescriber(source)
    shown = _photos(photos, exact.size)
    half = min(len(shown) // 2, CALIBRATED_ON)
    others = shown[half : half + MEASURED_ON]
    about, graph, target = replace(exact.about, precision="int8", agreement={}), source.with_suffix(".onnx"), ranges_file(source)
    with _beside(target) as folder:
        learnt = learnt_ranges(graph, shown[:half], about)
        written_by_ranges(graph, learnt, folder / "unmeasured.xml", about)
        quantised = OpenVINODescriber(folder / "unmeasured.xml", trial=about)
        measured = agreement(computed(quantised, others), computed(exact, others))
        _check_passed(about.name, measured)
        ranges = Ranges(identity=about.identity, ranges=learnt, agreement=measured, learnt_on=half, photos=described)
        (folder / target.name).write_text(ranges.to_json(), "utf-8")
        (folder / target.name).replace(target)
    return measured


def _check_passed(name: str, measured: Agreement) -> None:
    """ModelError where descriptors in int8 may not be compared with those in float32."""
    if not measured.passed:
        raise ModelError(
            f"The int8 descriptors of {name} agree with those in float32 by a cosine of {measured.cosine:.4f} at the 5th "
            f"percentile of {measured.images} photos, and {AGREEMENT_WANTED} is wanted; use it in float32 or bfloat16."
        )


def _made(
    source: Path,
    file: Path,
    int8: bool,
    encoder: Any,
    photos: UInt8[Array, "images height width 3"] | None,
    validate: Callable[[Describer, Describer], object] | None,
) -> Exported:
    """The export in a folder of its own, checked; ModelError where it is not what it should be."""
    graph = file.with_suffix(".onnx")
    network = _network("export", "Exporting")
    network.export_self_contained(source, graph, encoder=encoder)
    exact = OnnxDescriber(graph)
    shown = drawn(encoder.size) if photos is None else photos[:DRAWN]
    expected = encoder.describe(shown)
    difference = _difference(exact, shown, expected)
    about = exact.about
    if int8:
        assert photos is not None
        return _in_int8(exact, graph, file, photos, validate)
    if photos is not None and find_spec("openvino") is not None:
        measured_on = photos[:MEASURED_ON]
        about = with_bfloat16(graph, measured_on, computed(exact, measured_on))
        network.stamp(graph, about)
    if file.suffix == ".xml":
        written(graph, file, about)
        graph.unlink()
        difference = _difference(OpenVINODescriber(file, precision="float32"), shown, expected)
    return Exported(path=file, precision="float32", bytes=0, difference=difference, agreement=about.agreement)


def _in_int8(
    exact: OnnxDescriber,
    graph: Path,
    file: Path,
    photos: UInt8[Array, "images height width 3"],
    validate: Callable[[Describer, Describer], object] | None,
) -> Exported:
    """The trunk in int8, calibrated on some photos and measured on others."""
    half = min(len(photos) // 2, CALIBRATED_ON)
    others = photos[half : half + MEASURED_ON]
    about = replace(exact.about, precision="int8", agreement={})
    unmeasured = file.with_name("unmeasured.xml")
    quantise(graph, unmeasured, photos[:half], about)
    graph.unlink()
    quantised = OpenVINODescriber(unmeasured, trial=about)
    measured = agreement(computed(quantised, others), computed(exact, others))
    _check_passed(about.name, measured)
    if validate is not None:
        validate(quantised, exact)
    written(unmeasured, file, replace(about, agreement={"int8": measured}))
    return Exported(path=file, precision="int8", bytes=0, difference=None, agreement={"int8": measured})


def drawn(size: tuple[int, int], count: int = DRAWN) -> UInt8[Array, "images height width 3"]:
    """Smooth coloured clouds, which reach more of a network than noise does, always the same."""
    rng = np.random.default_rng(0)
    down, across = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]), indexing="ij")
    clouds = np.zeros((count, *size, 3))
    for frequency in (1, 3, 9, 27):
        waves = rng.uniform(-frequency, frequency, (2, count, 1, 1, 3)) * 2 * np.pi
        phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 3))
        clouds += np.sin(waves[0] * across[None, :, :, None] + waves[1] * down[None, :, :, None] + phase) / frequency**0.5
    pixels: NDArray[np.uint8] = np.clip(127.5 + 70 * clouds, 0, 255).astype(np.uint8)
    return pixels


def _difference(exported: Describer, images: UInt8[Array, "images height width 3"], precise: Float32[Array, "images dim"]) -> float:
    difference = float(np.linalg.norm(exported.describe(images) - precise, axis=1).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The export of {exported.name} gives descriptors that differ from torch's by {difference:.2g}, where {TOLERANCE:g} is "
            f"allowed; tell the authors, with the versions of torch and {exported.runtime}."
        )
    return difference


def _photos(calibration: str | Path | Sequence[str | Path], size: tuple[int, int]) -> UInt8[Array, "images height width 3"]:
    """Some of the photos, in random order but always the same."""
    found = ImageSet.open(calibration, ask_tables=False).files if isinstance(calibration, str | Path) else calibration
    paths = sorted(str(getattr(one, "path", one)) for one in found)
    order = np.random.default_rng(0).permutation(len(paths))
    pixels: list[NDArray[np.uint8]] = []
    for row in order:
        if len(pixels) == CALIBRATED_ON + MEASURED_ON:
            break
        try:
            pixels.append(read_image(paths[row], size))
        except ImageError:
            continue
    if len(pixels) < FEWEST:
        raise ModelError(
            f"At least {FEWEST} photos are needed to calibrate and measure with, got {len(pixels)}; name more of them."
        )
    return np.stack(pixels)


def _target(source: Path, to: str, int8: bool, at: str | Path | None) -> Path:
    suffix = ".onnx" if to == "onnx" else ".xml"
    target = Path(at) if at is not None else Path(f"{source.stem}{INT8 if int8 else f'.exported{suffix}'}")
    if target.suffix != suffix:
        raise ModelError(f"An export for {to} was wanted at {target}; give it a name that ends in {suffix}.")
    if target.absolute() == source.with_suffix(".onnx").absolute():
        raise ModelError(f"{target} is the place of the graph that belongs to {source.name}; name another file with --at.")
    if not target.absolute().parent.is_dir():
        raise ModelError(f"There is no folder {target.parent} to export to; make it, or name another file with --at.")
    return target


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder on the same disk, in which things can go wrong."""
    folder = Path(mkdtemp(prefix=f".{target.name}.{os.getpid()}.", dir=target.absolute().parent))
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
