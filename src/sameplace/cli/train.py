"""`sameplace train`: teach a model places from photos whose positions are known, and tell whether it helped."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from sameplace.cli.names import Json, ModelName, UsageError
from sameplace.cli.output import list_problems, note, printable, progress, say, say_json
from sameplace.cli.rules import SUITED, Rules, configured, given
from sameplace.cli.watching import Watching

if TYPE_CHECKING:
    from sameplace.network.encoder import Encoder
    from sameplace.training import Material, Run, TrainConfig, Verdict

TOYTOWN = "toytown"
TOWNS = ".towns"
"""The folder of a run with the towns that were drawn for it: hidden, as a new run's folder is empty but for such."""
PAPERS = {"pitts30k-train": "pitts30k", "pitts250k-train": "pitts250k", "tokyo-time-machine-train": "tokyo"}
"""The presets of the paper's runs, by what they learn from."""


def train(
    photos: Annotated[str, Parameter(help="A folder of photos, a CSV file, the training part of a benchmark, or toytown.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The run: a folder that is made, or gone on with.")],
    model: Annotated[ModelName, Parameter(help="The model whose trunk learning starts from.")] = "efficientnet-lite0-vlad",
    preset: Annotated[
        Literal["small", "pitts30k", "pitts250k", "tokyo"] | None,
        Parameter(help="Rules to start from; if not given, the paper's for its own data, else small."),
    ] = None,
    positions: Annotated[
        Path | None, Parameter(help="A CSV file with the photos' positions, which goes before EXIF and names.")
    ] = None,
    root: Annotated[Path | None, Parameter(help="Where the benchmark lies.")] = None,
    validation: Annotated[
        Path | None, Parameter(help="A folder of other photos to validate on, instead of a part of these.")
    ] = None,
    share: Annotated[PositiveFloat, Parameter(help="The share of the photos that is kept back, a side of their map.")] = 0.2,
    gap: Annotated[PositiveFloat, Parameter(help="Metres at least between photos that teach and photos that validate.")] = 25.0,
    radius: Annotated[PositiveFloat, Parameter(help="Metres up to which a photo counts as right in validation.")] = 25.0,
    learn_from: Annotated[
        str | None,
        Parameter(help="The first layer of the trunk that learns: netvlad for none, all for all; the last few if not given."),
    ] = None,
    clusters: Annotated[PositiveInt | None, Parameter(help="Clusters of NetVLAD; 64 if not given, 4 for toytown.")] = None,
    size: Annotated[
        tuple[PositiveInt, PositiveInt] | None,
        Parameter(help="Height and width of the images; the model's own if not given, 192 192 for toytown.", negative=""),
    ] = None,
    keep_vocabulary: Annotated[
        bool, Parameter(help="Go on from the model's own NetVLAD layer.", negative="", show_default=False)
    ] = False,
    towns: Annotated[PositiveInt | None, Parameter(help="Towns to draw, where toytown teaches.")] = None,
    device: Annotated[str, Parameter(help="What computes: cpu or cuda.")] = "cpu",
    rules: Rules = None,
    json: Json = False,
) -> None:
    """Teach a model places from geotagged photos, and tell whether it helped; run it again to go on after an interruption."""
    from sameplace import training

    known = _known(photos)
    if (photos != TOYTOWN and towns) or (known and (validation or positions)) or (root and (not known or photos == TOYTOWN)):
        raise UsageError(
            "--towns is for toytown, --root for the training part of a benchmark, --validation and --positions are for photos of "
            "your own: leave out those that do not belong to what you train on."
        )
    config = configured(_base(photos, preset), rules)
    start = training.Start(learn_from=learn_from, clusters=clusters, size=size, keep_vocabulary=keep_vocabulary)
    try:
        encoder = training.starting_encoder(model, start.small() if photos == TOYTOWN else start)
        if photos == TOYTOWN:
            material = _drawn(to / TOWNS, config, towns)
        elif known:
            material = training.from_benchmark(photos, config.reach, root=root)
        else:
            kept_back = training.KeptBack(folder=validation, share=share, gap=gap, radius=radius)
            material = training.from_photos(photos, config.reach, positions=positions, kept_back=kept_back)
        list_problems("Left out", material.problems)
        note(material.said)
        config = _whitened(config, rules, material, encoder)
        with Watching() as watch:
            run, verdict = training.learn(encoder, material, to=to, config=config, device=device, progress=watch)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Interrupted; what was learnt is safe in {to}. The same command goes on from there.") from None
    _say(run, verdict, material, json)


def _base(photos: str, preset: str | None) -> "TrainConfig":
    """The rules that flags change."""
    from sameplace import training

    return training.TOYTOWN if photos == TOYTOWN and preset is None else training.PRESETS[preset or PAPERS.get(photos, SUITED)]


def _drawn(folder: Path, config: "TrainConfig", towns: int | None) -> "Material":
    from sameplace import training

    with progress("draw", "towns") as show:
        return training.from_toytowns(folder, config.reach, towns=towns or training.TOWNS, progress=show)


def _known(photos: str) -> bool:
    """Whether this is the name of a dataset: a folder of that name is asked for with a slash."""
    from sameplace import datasets

    return photos in {dataset.name for dataset in datasets.known()}


def _whitened(config: "TrainConfig", rules: object, material: "Material", encoder: "Encoder") -> "TrainConfig":
    """The configuration, with a whitening that there are photos enough for, unless one was asked for."""
    from sameplace import training

    if "whitening" in given(rules):
        return config
    dimensions = training.fitting_whitening(config, material.streets, encoder.dim)
    if dimensions != config.whitening:
        note(f"Whitening to {dimensions} dimensions, not {config.whitening}: so many photos there are for it.")
    return replace(config, whitening=dimensions)


def _say(run: "Run", verdict: "Verdict", material: "Material", json: bool) -> None:
    from sameplace.images import Problem

    unreadable = run.streets.get("left_out", [])
    if json:
        best = run.best_epoch
        say_json(
            {
                "run": str(run.folder),
                "model": str(run.model),
                "photos": len(material.streets.images),
                "queries": len(material.streets.queries),
                "best_epoch": None if best is None else best["epoch"],
                "verdict": verdict.to_json(),
                "left_out": [*({"path": problem.path, "reason": problem.reason} for problem in material.problems), *unreadable],
            }
        )
        return
    list_problems("Not readable, and not learnt from", [Problem(**problem) for problem in unreadable])
    say(str(verdict))
    say(f"The model: {printable(str(run.model))}")
