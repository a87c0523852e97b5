"""A whole training: from material to a model, and to the answer whether it helped."""

from pathlib import Path

from sameplace.network.encoder import Encoder
from sameplace.training.checkpoint import write_json
from sameplace.training.config import TrainConfig
from sameplace.training.loop import train
from sameplace.training.material import Material
from sameplace.training.progress import Watcher
from sameplace.training.run import VERDICT, Run
from sameplace.training.verdict import Verdict, judge


def learn(
    encoder: Encoder,
    material: Material,
    *,
    to: str | Path,
    config: TrainConfig,
    device: str = "cpu",
    progress: Watcher | None = None,
) -> tuple[Run, Verdict]:
    """Train, and compare the model of the best epoch with the one before training; what was found is kept in the run, too.

    Both have vocabulary and whitening from the same photos, so that the difference is what the training is worth. Raises what
    `train` raises; an interrupted run is gone on with by the same call.
    """
    run = train(encoder, material.streets, validate_on=material.validation, to=to, config=config, device=device, progress=progress)
    verdict = judge(Encoder.load(run.model), Encoder.load(run.start), material.judged_on)
    write_json(run.folder / VERDICT, verdict.to_json())
    return Run.open(to), verdict
