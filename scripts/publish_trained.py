"""Make a published model of a finished run of scripts/train_published.py: the model file with its card, and its graph.

python scripts/publish_trained.py efficientnet-lite0-netvlad --run RUN --data PHOTOS --to FOLDER
"""

import argparse
from pathlib import Path

from publish_untrained import CARDS

from sameplace.models.exporting import measure_bfloat16
from sameplace.network.encoder import Encoder
from sameplace.network.export import export_onnx
from sameplace.training.run import Run

SUMMARIES = {
    "efficientnet-lite0-netvlad": "EfficientNet-Lite0 up to its last layer of stride 16, NetVLAD of 64 clusters, trained for "
    "places from positions, whitened to 512 numbers.",
}
LEARNT_ON = (
    "getty and iiit_campus by position, campus_buildings and koe_indoor by place, facades for vocabulary and whitening only: "
    "research photographs whose licences are unstated or research-only; no benchmark image."
)
MEASURED_ON = 200
"""Photos on which bfloat16 is measured."""


def main() -> None:
    """Write the files, and say what was made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SUMMARIES)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    encoder = Encoder.load(run.model)
    encoder.name = arguments.name
    untrained = CARDS[arguments.name.replace("-netvlad", "-vlad")]
    card = {**untrained, "summary": SUMMARIES[arguments.name], "learnt_on": LEARNT_ON}
    arguments.to.mkdir(parents=True, exist_ok=True)
    model = encoder.save(arguments.to / f"{arguments.name}.safetensors", card=card)
    graph = export_onnx(model)
    photos = sorted((arguments.data / "facades" / "images").rglob("*.jpg"))[::10][:MEASURED_ON]
    measure_bfloat16(model, photos)
    print(f"{model}: {model.stat().st_size / 1e6:.1f} MB, identity {encoder.identity}, graph {graph.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
