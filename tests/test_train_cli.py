"""`sameplace train` and `show RUN`: from photos to a model, and to an honest answer whether it helped."""

import ast
import csv
import json
import struct
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace import datasets, models, training
from sameplace.cli.app import app, run
from sameplace.cli.rules import configured, explained
from sameplace.cli.watching import curve, epoch_line
from sameplace.datasets import Dataset, WithinMetres, toytown
from sameplace.errors import DatasetError, TrainingError
from sameplace.geo import LocalPoint
from sameplace.images import ImageRecord
from sameplace.network.encoder import Encoder
from sameplace.network.netvlad import NetVLAD
from sameplace.network.pooling import MaxPooling
from sameplace.training import KeptBack, Run, Start, Streets, TrainConfig, fitting_whitening
from sameplace.training.config import PRESETS
from sameplace.training.events import EVENTS, add_event, crc32c
from sameplace.training.material import from_benchmark, from_photos
from sameplace.training.picture import run_picture, write_run_picture
from sameplace.training.start import LEARNS_FROM, let_learn, starting_encoder
from sameplace.training.toytowns import BENCHMARK_SEED, FIRST_SEED, VALIDATION_SEED, draw_towns, toytown_validation
from sameplace.training.verdict import judge

SCHEMAS = Path(__file__).parent.parent / "docs" / "schema"
QUICK = ["--learn-from", "netvlad", "--clusters", "4", "--size", "32", "32", "--epochs", "2", "--vocabulary-images", "20"]
QUICK += ["--batch", "8", "--views", "0", "--augment", "none", "--precision", "float32"]


def schema(verb):
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{verb}.json").read_text("utf-8")))


def sentence(captured):
    """The one line of stderr that says why."""
    assert "Traceback" not in captured.err
    (line,) = [line for line in captured.err.splitlines() if line.startswith("sameplace: ")]
    return line


def take_photos(folder, places=90, side=300.0):
    """Two photos of each of some places all over a square, 3 m apart and alike but for noise, with their positions."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = []
    for number, (x, y) in enumerate(rng.uniform(0, side, (places, 2)).tolist()):
        scene = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((10, 10, 1)))
        for turn in range(2):
            seen = scene * rng.uniform(0.5, 1.0) + rng.normal(0, 20, scene.shape)
            Image.fromarray(seen.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03d}-{turn}.png")
            rows.append({"file": f"{number:03d}-{turn}.png", "x_m": x + 3 * turn, "y_m": y})
    with (folder / "positions.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file", "x_m", "y_m"])
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return take_photos(tmp_path_factory.mktemp("mine") / "photos")


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A run of the command line on these photos."""
    to = tmp_path_factory.mktemp("runs") / "run"
    assert run(["train", str(photos), "--to", str(to), "--json", *QUICK]) == 0
    return to


# One's own photos


def test_one_command_makes_a_model_from_ones_own_photos_and_tells_in_json_whether_it_helped(photos, trained, capsys):
    assert run(["train", str(photos), "--to", str(trained), "--json", *QUICK]) == 0  # finished: it answers again
    told = json.loads(capsys.readouterr().out)
    schema("train").validate(told)
    assert told["model"] == str(trained / "model.safetensors")
    assert told["verdict"]["dataset"] == "photos, held out"
    assert told["verdict"]["difference"]["recall@1"] == pytest.approx(
        told["verdict"]["recall_after"]["1"] - told["verdict"]["recall_before"]["1"]
    )
    parts = from_photos(photos, PRESETS["small"].reach)
    assert told["photos"] == len(parts.streets.images)
    assert told["verdict"]["queries"] == len(parts.judged_on.queries)
    assert not {image.path for image in parts.streets.images} & {image.path for image in parts.judged_on.database}


def test_the_trained_model_and_the_one_before_differ_in_training_alone(trained):
    after, before = Encoder.load(trained / "model.safetensors"), Encoder.load(trained / "start.safetensors")
    assert after.dim == before.dim == 32  # 144 photos teach no whitening to 512 dimensions
    assert isinstance(after.aggregator, NetVLAD)
    assert after.aggregator.clusters == 4
    assert after.size == (32, 32)
    frozen, untouched = after.backbone.state_dict(), before.backbone.state_dict()
    assert all((frozen[name] == untouched[name]).all() for name in frozen)


def test_the_trained_model_is_a_model_for_every_other_verb(photos, trained, capsys):
    assert run(["evaluate", str(trained / "model.safetensors"), str(photos), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["descriptor"] == 32
    assert run(["show", str(trained / "model.safetensors"), "--json"]) == 0


def test_people_are_told_the_division_each_epoch_the_whitening_and_the_verdict(photos, tmp_path, capsys):
    assert run(["train", str(photos), "--to", str(tmp_path / "run"), *QUICK]) == 0
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first.split(":")[0] in ("It helped", "It got worse", "No difference beyond chance")
    assert second == f"The model: {tmp_path / 'run' / 'model.safetensors'}"
    for told in (
        "to validate on, 25 m or more apart",
        "Whitening to 32 dimensions, not 512",
        "before training: recall@1",
        "epoch 2 of 2",
    ):
        assert told in printed.err
    assert "Memory: about" in printed.err  # the plan comes before the work


def test_photos_of_another_place_can_be_kept_back_instead(photos, tmp_path, capsys):
    other = take_photos(tmp_path / "other", places=20)
    material = from_photos(photos, PRESETS["small"].reach, kept_back=KeptBack(folder=other))
    assert len(material.streets.images) == 180
    assert material.validation.name == "other"


def test_a_training_that_was_interrupted_says_how_to_go_on(photos, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "learn", interrupted)
    assert run(["train", str(photos), "--to", str(tmp_path / "run"), *QUICK]) == 130
    assert "The same command goes on from there." in sentence(capsys.readouterr())


def test_too_few_photos_are_one_sentence(tmp_path, capsys):
    few = take_photos(tmp_path / "few", places=5)
    assert run(["train", str(few), "--to", str(tmp_path / "run")]) == 1
    assert "each of 10 photos or more and 25 m apart" in sentence(capsys.readouterr())
    assert not (tmp_path / "run").exists()


def test_a_run_is_gone_on_with_under_the_same_rules_only(photos, trained, capsys):
    assert run(["train", str(photos), "--to", str(trained), *QUICK, "--margin", "0.3"]) == 1
    assert "margin" in sentence(capsys.readouterr())


# What is trained on


@pytest.mark.parametrize(
    "arguments",
    [
        ["photos", "--towns", "3"],
        ["toytown", "--validation", "elsewhere"],
        ["toytown", "--positions", "a.csv"],
        ["photos", "--root", "x"],
    ],
)
def test_a_flag_that_belongs_to_other_material_is_a_misuse(arguments, tmp_path, capsys):
    assert run(["train", *arguments, "--to", str(tmp_path / "run")]) == 2
    assert "leave out those that do not belong" in sentence(capsys.readouterr())


def test_what_there_is_to_be_asked_about_is_not_learnt_from(tmp_path, capsys):
    assert run(["train", "gardens-point", "--to", str(tmp_path / "run")]) == 1
    told = sentence(capsys.readouterr())
    assert "gardens-point is there to be asked about, not to be learnt from" in told
    assert "pitts30k-train" in told


def test_the_training_part_of_a_benchmark_is_validated_on_its_validation_part(monkeypatch):
    def load(name, *, root=None):
        images = tuple(ImageRecord(path=Path(f"{name}{n}.jpg"), position=LocalPoint(5.0 * n, 0.0)) for n in range(4))
        return Dataset(name=name, database=images, queries=images, truth=WithinMetres(25.0))

    monkeypatch.setattr(datasets, "load", load)
    material = from_benchmark("pitts30k-train", root="there")
    assert (material.streets.name, material.validation.name) == ("pitts30k-train", "pitts30k-val")
    with pytest.raises(DatasetError, match="not to be learnt from"):
        from_benchmark("pitts30k-test")


# The rules as flags


def test_every_rule_is_a_flag_whose_help_is_the_docstring_of_its_field():
    told = explained()
    assert set(told) == {field.name for field in fields(TrainConfig)}
    flags = {name: argument for argument in app["train"].assemble_argument_collection() for name in argument.names}
    for name, help_ in told.items():
        assert flags[f"--{name.replace('_', '-')}"].parameter.help == help_


def test_flags_go_before_the_preset_and_none_can_be_said(photos, trained):
    config = json.loads((trained / "config.json").read_text())
    expected = {**asdict(PRESETS["small"]), "epochs": 2, "vocabulary_images": 20, "batch": 8, "views": 0}
    expected |= {"augment": "none", "precision": "float32", "whitening": 32}
    assert config == expected
    rules = app.parse_args(["train", "x", "--to", "y", "--no-whitening", "--another-time"], print_error=False, exit_on_error=False)[
        1
    ]
    made = configured(TrainConfig(), rules.arguments["rules"])
    assert made == replace(TrainConfig(), whitening=None, another_time=True)


def test_rules_that_make_no_sense_are_a_misuse(photos, tmp_path, capsys):
    assert run(["train", str(photos), "--to", str(tmp_path / "run"), "--momentum", "2"]) == 2
    assert "momentum must lie in 0..1" in sentence(capsys.readouterr())


@settings(deadline=None)
@given(st.integers(0, 50_000), st.integers(64, 8192), st.sampled_from([None, 32, 128, 512, 4096]))
def test_a_whitening_has_as_many_dimensions_as_asked_for_halved_until_the_photos_suffice(photos, numbers, asked):
    rows, nobody = np.arange(photos, dtype=np.int64), np.empty(0, np.int64)
    streets = Streets(name="many", images=(), queries=nobody, database=rows, positives=(), near=())
    config = TrainConfig(whitening=asked)
    samples = min(photos, config.whitening_images)
    if asked is None:
        assert fitting_whitening(config, streets, numbers) is None
    elif samples < 128:
        with pytest.raises(TrainingError, match="needs 128 photos"):
            fitting_whitening(config, streets, numbers)
    else:
        found = fitting_whitening(config, streets, numbers)
        assert found <= numbers
        assert 4 * found <= samples
        assert found == asked or 8 * found > samples or 2 * found > numbers


# What training starts from


@pytest.mark.parametrize("layer", ["block9", None])
def test_the_named_layer_and_those_above_it_learn(layer):
    encoder = starting_encoder(start=Start(learn_from=layer))
    learning = {
        name.split(".")[2] for name, weight in encoder.named_parameters() if name.startswith("backbone") and weight.requires_grad
    }
    assert learning == {"block9", "block10"}
    assert not encoder.aggregator.initialised


def test_netvlad_alone_can_learn_or_everything():
    backbone = starting_encoder(start=Start(learn_from="netvlad")).backbone
    assert not any(weight.requires_grad for weight in backbone.parameters())
    let_learn(backbone, "all")
    assert backbone.features.stem.convolution.weight.requires_grad


def test_a_layer_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(TrainingError, match=r"efficientnet_lite0 cannot learn from the layer 'conv5_1'.*block9"):
        starting_encoder(start=Start(learn_from="conv5_1"))


@pytest.mark.parametrize("name", LEARNS_FROM)
def test_every_backbone_of_ours_has_a_layer_that_learning_starts_from(name):
    from sameplace.network.backbones import RECIPES

    backbone = RECIPES[name]()
    let_learn(backbone)
    learning = sum(weight.numel() for weight in backbone.parameters() if weight.requires_grad)
    assert 0 < learning < 0.9 * sum(weight.numel() for weight in backbone.parameters())


def test_a_vocabulary_can_be_kept_where_there_is_one():
    kept = starting_encoder(start=Start(keep_vocabulary=True))
    assert kept.aggregator.initialised
    assert (kept.aggregator.centroids == Encoder.load(models.find(models.DEFAULT_MODEL)).aggregator.centroids).all()
    with pytest.raises(TrainingError, match="64 clusters, 16 were wanted"):
        starting_encoder(start=Start(keep_vocabulary=True, clusters=16))


def test_no_vocabulary_can_be_kept_of_another_aggregator(tmp_path):
    whole = Encoder.load(models.find(models.DEFAULT_MODEL))
    path = Encoder(whole.backbone, MaxPooling(112), name="pooled").save(tmp_path / "pooled.safetensors")
    with pytest.raises(TrainingError, match="pooled has a MaxPooling; let one be learnt"):
        starting_encoder(path, Start(keep_vocabulary=True))


# Did it help?


class Guessing:
    """Describes a photo by its own number, blurred by noise: right as often as the noise is small."""

    runtime = precision = "numpy"
    dim, size = 40, (8, 8)

    def __init__(self, noise):
        self.name = self.identity = f"noise {noise}"
        self.noise = noise

    def describe(self, images):
        rng = np.random.default_rng(int(images.sum()))
        marked = np.eye(self.dim, dtype=np.float32)[images[:, 0, 0, 0] % self.dim]
        seen = marked + rng.normal(0, self.noise, marked.shape).astype(np.float32)
        return seen / np.linalg.norm(seen, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Forty places, each photographed twice, each with a colour of its own."""
    folder = tmp_path_factory.mktemp("numbered")
    records = []
    for turn in range(2):
        for number in range(40):
            path = folder / f"{turn}-{number}.png"
            Image.fromarray(np.full((8, 8, 3), number + 0 * turn, np.uint8)).save(path)
            records.append(ImageRecord(path=path, position=LocalPoint(100.0 * number, 0.0)))
    return Dataset(name="numbers", database=tuple(records[:40]), queries=tuple(records[40:]), truth=WithinMetres(1.0))


@pytest.mark.parametrize(
    ("after", "before", "helped", "said"),
    [
        (0.05, 0.6, True, "It helped: recall@1 on numbers"),
        (0.6, 0.05, False, "It got worse"),
        (0.05, 0.05, None, "No difference beyond chance"),
    ],
)
def test_the_verdict_says_whether_more_is_right_than_chance_allows(numbered, after, before, helped, said):
    verdict = judge(Guessing(after), Guessing(before), numbered)
    assert verdict.helped is helped
    assert str(verdict).startswith(said)
    facts = verdict.to_json()
    assert facts["recall_after"]["1"] - facts["recall_before"]["1"] == pytest.approx(facts["difference"]["recall@1"])
    assert facts["only_first"] - facts["only_second"] == round(40 * facts["difference"]["recall@1"])


# Showing a run


def test_a_run_is_shown_with_its_curves_and_its_verdict(trained, capsys):
    assert run(["show", str(trained)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{trained}: finished, epoch 2 of 2")
    assert [line.split()[0] for line in lines[2:6]] == ["recall@1", "recall@5", "recall@10", "loss"]
    assert json.loads((trained / "verdict.json").read_text())["said"] == lines[-1]


def test_the_json_of_a_run_keeps_to_its_schema_finished_or_not(trained, tmp_path, capsys):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    for name in ("config.json", "streets.json"):
        (unfinished / name).write_bytes((trained / name).read_bytes())
    history = (trained / "history.jsonl").read_text()
    (unfinished / "history.jsonl").write_text(history[: len(history) // 2])  # the last line is being written
    for folder, state in ((trained, "finished"), (unfinished, "unfinished")):
        assert run(["show", str(folder), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        schema("show").validate(told)
        assert told["state"] == state
    assert run(["show", str(unfinished)]) == 0
    assert "The same `sameplace train` goes on with it." in capsys.readouterr().out


def test_photos_that_could_not_be_read_are_shown_with_the_run(trained, tmp_path, capsys):
    streets = json.loads((trained / "streets.json").read_text())
    (tmp_path / "config.json").write_bytes((trained / "config.json").read_bytes())
    (tmp_path / "streets.json").write_text(json.dumps({**streets, "left_out": [{"path": "a.jpg", "reason": "cut short"}]}))
    assert run(["show", str(tmp_path)]) == 0
    assert "left out: a.jpg: cut short" in capsys.readouterr().out


def test_the_plot_has_every_recall_and_the_loss_and_marks_the_epoch_that_was_kept(trained, tmp_path, capsys):
    assert run(["show", str(trained), "--plots", str(tmp_path / "plots")]) == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["training.png", "training.svg"]
    opened = Run.open(trained)
    drawn = run_picture(opened)
    for name in ("recall@1", "recall@5", "recall@10", "loss"):
        assert name in drawn.description
    last = opened.epochs[-1]
    assert f"{last['recall@1']:.3f} at epoch {last['epoch']}" in drawn.description
    assert f"kept: the network of epoch {opened.best_epoch['epoch']}" in drawn.svg()


def test_there_is_nothing_to_draw_before_the_first_epoch_ends(trained, tmp_path):
    early = replace(Run.open(trained), history=Run.open(trained).history[:1])
    with pytest.raises(TrainingError, match="nothing to draw; wait for the first to end"):
        write_run_picture(tmp_path, early)


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path, capsys):
    with pytest.raises(TrainingError, match="holds no training; name the folder"):
        Run.open(tmp_path)
    assert run(["show", "models", "--plots", str(tmp_path)]) == 2
    assert "--plots draws a training" in sentence(capsys.readouterr())


@pytest.mark.parametrize("name", ["config.json", "history.jsonl"])
def test_a_damaged_run_is_told_in_one_sentence(trained, tmp_path, name):
    for kept in ("config.json", "streets.json", "history.jsonl"):
        (tmp_path / kept).write_bytes((trained / kept).read_bytes())
    (tmp_path / name).write_text("{\n{\n")
    with pytest.raises(TrainingError, match="was written by no sameplace, or is damaged"):
        Run.open(tmp_path)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_curve_as_text_keeps_the_order_of_its_values(values):
    bars = curve(values)
    assert len(bars) == len(values)
    assert all(one <= other for one, other in zip(*([bars[i] for i in order] for order in pairs(values)), strict=True))
    if max(values) > min(values):
        assert {bars[values.index(min(values))], bars[values.index(max(values))]} == {"▁", "█"}


def pairs(values):
    """Neighbours in ascending order."""
    order = np.argsort(values, kind="stable").tolist()
    return order[:-1], order[1:]


def test_a_long_curve_is_thinned_and_ends_with_its_last_value():
    assert curve([*np.linspace(0, 1, 999).tolist(), 0.0])[-1] == "▁"
    assert len(curve([0.0] * 999)) <= 40


def test_an_epoch_is_one_line():
    assert epoch_line(0, 10, {"recall@1": 0.5, "loss": 1.0}) == "before training: recall@1 50.0 %"


# Event files


def messages(path):
    """The records of an event file, their checksums compared with the polynomial's definition."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        message, data = data[12 : 12 + length], data[16 + length :]
        yield message


def test_event_files_hold_every_value_as_tensorboard_reads_it(tmp_path):
    """The bytes of the first were read by TensorBoard's own EventAccumulator when this was written."""
    path = tmp_path / EVENTS
    add_event(path, 300, {"loss": 0.5}, seconds=1.5)
    add_event(path, 301, {"loss": 0.25, "recall@1": 1.0}, seconds=2.5)
    version, first, second = messages(path)
    assert version == b"\x09" + struct.pack("<d", 1.5) + b"\x1a\x0dbrain.Event:2"
    summary = b"\x0a\x0b\x0a\x04loss\x15" + struct.pack("<f", 0.5)
    assert first == b"\x09" + struct.pack("<d", 1.5) + b"\x10\xac\x02\x2a\x0d" + summary
    assert second.endswith(b"\x0a\x0f\x0a\x08recall@1\x15" + struct.pack("<f", 1.0))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_checksum_is_linear_as_those_of_polynomials_are(one, other):
    length = max(len(one), len(other))
    one, other = one.ljust(length, b"\0"), other.ljust(length, b"\0")
    mixed = bytes(a ^ b for a, b in zip(one, other, strict=True))
    assert crc32c(mixed) == crc32c(one) ^ crc32c(other) ^ crc32c(bytes(length))


# Toytown


def test_the_towns_that_teach_validate_and_judge_are_different_ones_and_drawn_once(tmp_path):
    assert len({BENCHMARK_SEED, VALIDATION_SEED, *range(FIRST_SEED, FIRST_SEED + 50)}) == 52
    first = draw_towns(tmp_path, towns=1, places=2, validation_places=2)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    (first[1] / "queries" / "positions.csv").unlink()  # as if drawing had been interrupted
    assert draw_towns(tmp_path, towns=1, places=2, validation_places=2) == first
    assert (first[1] / "queries" / "positions.csv").is_file()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if first[0] in path.parents)
    benchmark = datasets.load(toytown.draw(tmp_path / "benchmark", places=2))
    assert toytown_validation(first[1]).protocol == benchmark.protocol


# The names


def test_the_names_of_training_are_complete_and_the_same_for_editors_and_users():
    tree = ast.parse(Path(training.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: statement.module.rpartition(".")[2] for statement in block.body for alias in statement.names}
    assert seen == training._HOMES
    assert set(training.__all__) == set(seen)
    assert all(getattr(training, name) is not None for name in training.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        training.Trainer  # noqa: B018


def test_a_run_a_configuration_and_a_split_need_no_torch_and_training_says_what_it_needs():
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "jaxtyping", "beartype"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from sameplace import training
from sameplace.errors import MissingExtra
for name in ("Run", "TrainConfig", "PRESETS", "Streets", "Split", "KeptBack", "from_photos", "judge"):
    getattr(training, name)
import sameplace.training.split, sameplace.training.picture
try:
    training.learn
except MissingExtra as missing:
    print(missing)
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "sameplace.training.learn needs an optional part of sameplace: pip install 'sameplace[train]'." in printed.stdout, (
        printed.stderr
    )
