"""The rates that docs/scale.md plans with: what one core does of each step between a photo on disk and a row on a Milvus server.

    python benchmarks/scale_rates.py PHOTOS

Steps, each for the photos as they are and for the same enlarged to 12 megapixels, as telephones take them: *look* (find a
photo's position and hash its file, which the machine that writes the atlas does) and *describe* (decode and compute the default
model, which all machines share); and *send* (make the message that Milvus gets, 1,000 photos at a time). Time is
that of the processor, of all threads of the process, so that a busy machine changes little; told are the medians of the rounds,
with the slowest and the quickest round. Needs 'sameplace[milvus]', and takes OpenVINO where it is installed.
"""
# ruff: noqa: T201

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["OMP_NUM_THREADS"] = os.environ["SAMEPLACE_THREADS"] = "1"

import numpy as np
from PIL import Image
from pymilvus import DataType, MilvusClient
from pymilvus.client.prepare import Prepare

from sameplace import models
from sameplace.atlas.remote_columns import COLUMNS, row
from sameplace.atlas.segment import Entry
from sameplace.describer import Describer
from sameplace.description import describe
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.geo import LatLon
from sameplace.images import ImageFile, ImageSet

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
SENT = 1000
GRAIN = 5.0


def look(images: ImageSet, files: Sequence[ImageFile]) -> None:
    """What the writing machine does with each new photo."""
    for file in files:
        images.record(file)
        with open(file.path, "rb") as stream:  # noqa: PTH123
            hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def rows_of(files: Sequence[ImageFile], images: ImageSet, dim: int) -> list[dict[str, object]]:
    """Photos as Milvus gets them, with descriptors of no meaning."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for number in range(SENT):
        file = files[number % len(files)]
        entry = Entry.of(file, "0" * 32, images.record(file))
        rows.append({**row(entry, LatLon(48.0, 11.0), "openvino"), "descriptor": rng.normal(size=dim).astype(np.float16)})
    return rows


def message(rows: Sequence[dict[str, object]], fields: Sequence[dict[str, object]]) -> int:
    """Make the message, as pymilvus does; returns its bytes."""
    return int(Prepare.row_upsert_param("town", list(rows), "", fields_info=list(fields)).ByteSize())


def fields_of(dim: int) -> list[dict[str, object]]:
    """The collection's fields, as pymilvus knows them."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for column in COLUMNS:
        kind = DataType.VARCHAR if column.kind == "text" else DataType.DOUBLE
        schema.add_field(
            column.name,
            kind,
            is_primary=column.key == "primary",
            is_partition_key=column.key == "partition",
            nullable=column.optional,
            **({"max_length": column.length} if column.kind == "text" else {}),
        )
    schema.add_field("descriptor", DataType.FLOAT16_VECTOR, dim=dim)
    return [field.to_dict() for field in schema.fields]


def enlarged(files: Sequence[ImageFile], folder: Path) -> ImageSet:
    """The photos with 12 million pixels each and the grain of a small sensor, without which a JPEG decodes too quickly."""
    grain = np.random.default_rng(0).normal(0, GRAIN, (3000, 4000, 1)).astype(np.float32)
    for number, file in enumerate(files):
        with Image.open(file.path) as image:
            large = np.asarray(image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC), np.float32) + grain
        Image.fromarray(large.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    (folder / "positions.csv").write_text("file,lat,lon\n" + "".join(f"{number}.jpg,48,11\n" for number in range(len(files))))
    return ImageSet.open(folder)


def described(describer: Describer, files: Sequence[ImageFile]) -> None:
    """Describe photos on one core."""
    list(describe([file.path for file in files], describer, workers=1))


def rate(count: int, rounds: int, work: Callable[[int], object]) -> dict[str, float]:
    """Photos a second of the processor: the median round, the slowest and the quickest."""
    rates = []
    for number in range(rounds):
        start = time.process_time()
        work(number)
        rates.append(count / (time.process_time() - start))
    return {"median": round(float(np.median(rates)), 2), "least": round(min(rates), 2), "most": round(max(rates), 2)}


def quickest(name: str) -> Describer:
    """The model on the runtime that is chosen for many photos."""
    return models.describer(name, photos=10**6, threads=1)


def large_rates(describer: Describer, files: Sequence[ImageFile], rounds: int) -> dict[str, object]:
    """The same for photos of 12 megapixels."""
    with TemporaryDirectory() as folder:
        images = enlarged(files, Path(folder))
        parts = [images.files[number::rounds] for number in range(rounds)]
        return {
            "bytes_a_large_photo": int(np.mean([file.size for file in images.files])),
            "look_large": rate(len(parts[-1]), rounds, lambda number: look(images, parts[number][: len(parts[-1])])),
            "describe_large": rate(len(parts[-1]), rounds, lambda number: described(describer, parts[number][: len(parts[-1])])),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of real photos with positions")
    parser.add_argument("--count", type=int, default=48, help="photos to describe in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=models.DEFAULT_MODEL)
    parser.add_argument("--to", type=Path, default=RESULTS / "scale_rates.json")
    asked = parser.parse_args(arguments)
    images = ImageSet.open(asked.photos)
    drawn = np.random.default_rng(0).permutation(len(images.files))
    files = [images.files[number] for number in drawn[: asked.rounds * 10 * asked.count]]
    some = [files[number :: asked.rounds] for number in range(asked.rounds)]
    describer = quickest(asked.model)
    list(describe([files[0].path] * 16, describer, workers=1))  # compiled, and warm
    rows, fields = rows_of(files, images, describer.dim), fields_of(describer.dim)
    told = {
        "benchmark": "photos a second of one core, processor time, of each step on the way to an atlas on Milvus",
        "model": describer.name,
        "runtime": describer.runtime,
        "precision": describer.precision,
        "dim": describer.dim,
        "bytes_a_photo": int(np.mean([file.size for file in files])),
        "look": rate(len(some[-1]), asked.rounds, lambda number: look(images, some[number][: len(some[-1])])),
        "describe": rate(asked.count, asked.rounds, lambda number: described(describer, some[number][: asked.count])),
        **large_rates(describer, files[: 4 * asked.rounds], asked.rounds),
        "send": rate(SENT, asked.rounds, lambda _: message(rows, fields)),
        "bytes_sent_a_photo": message(rows, fields) // SENT,
        **provenance(),
        "command": f"python benchmarks/scale_rates.py PHOTOS --count {asked.count} --rounds {asked.rounds}",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, told)
    print({name: told[name] for name in ("look", "look_large", "describe", "describe_large", "send", "bytes_sent_a_photo")})


if __name__ == "__main__":
    main()
