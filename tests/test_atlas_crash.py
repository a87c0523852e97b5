"""Whatever instant the power fails, an atlas opens again with everything that was committed.

All writes of an atlas go through sameplace.atlas.disk. Here their trace is recorded and every prefix of it replayed on a model of a
drive that keeps only what POSIX promises: a file's content once the file is synced, a name once its folder is synced.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image

from conftest import TinyDescriber
from sameplace.atlas import Atlas, disk, indexfiles, indexing
from sameplace.atlas.snapshot import Snapshot
from sameplace.errors import AtlasError
from sameplace.search import approximate

ATLAS = Path("town.atlas")


class File:
    """Content, and what of it would survive."""

    def __init__(self):
        self.content, self.synced = b"", b""


class Folder:
    """Names, and the changes of names that are not yet sure to survive, in order; a rename is one change."""

    def __init__(self):
        self.names, self.synced, self.pending = {}, {}, []

    def change(self, **names):
        self.pending.append(names)
        self.names = changed(self.names, names)


def changed(names, changes):
    return {name: node for name, node in {**names, **changes}.items() if node is not None}


class Drive:
    """A drive that loses what was not synced."""

    def __init__(self):
        self.root = Folder()

    def at(self, path):
        node = self.root
        for name in path.parts:
            node = node.names[name]
        return node

    def apply(self, step, path, data=None):
        parent = self.at(path.parent)
        match step:
            case "make folder":
                parent.change(**{path.name: Folder()})
            case "create":
                parent.change(**{path.name: File()})
            case "write":
                self.at(path).content += data
            case "sync":
                self.at(path).synced = self.at(path).content
            case "sync folder":
                folder = self.at(path)
                folder.synced, folder.pending = folder.names, []
            case "replace":
                assert path.parent == data.parent
                parent.change(**{path.name: None, data.name: self.at(path)})
            case "remove" | "remove folder":
                parent.change(**{path.name: None})

    def after_power_cut(self, names, content):
        """What is on the drive then, as (path, bytes or None for a folder), given what a folder and a file keep."""

        def walk(folder, path):
            for name, node in sorted(names(folder).items()):
                if isinstance(node, Folder):
                    yield path / name, None
                    yield from walk(node, path / name)
                else:
                    yield path / name, content(node)

        return tuple(walk(self.root, Path()))

    def after_a_kill(self):
        """What is on the drive when only the process ended."""
        return self.after_power_cut(lambda folder: folder.names, lambda file: file.content)


def cuts(drive, seed):
    """Ways in which the drive may lose what was not synced; in the first it loses nothing: only the process was killed."""
    rng = random.Random(seed)

    def some(folder):
        names = folder.synced
        for change in folder.pending:
            names = changed(names, change) if rng.random() < 0.5 else names
        return names

    def half(file):
        return file.content[: (len(file.synced) + len(file.content)) // 2]

    all_names, sure_names = (lambda folder: folder.names), (lambda folder: folder.synced)
    yield "killed", drive.after_a_kill()
    yield "all unsynced lost", drive.after_power_cut(sure_names, lambda file: file.synced)
    yield "unsynced content lost", drive.after_power_cut(all_names, lambda file: file.synced)
    yield "unsynced content cut", drive.after_power_cut(all_names, half)
    yield "unsynced names lost", drive.after_power_cut(sure_names, lambda file: file.content)
    yield "any of it lost", drive.after_power_cut(some, lambda file: rng.choice([file.synced, half(file), file.content]))


class Recorder:
    """Writes down what goes through disk, and what the atlas held in each generation."""

    def __init__(self, monkeypatch, root):
        self.root, self.trace, self.held = root, [], {}
        recorder = self

        class RecordedFile(disk.NewFile):
            def __init__(self, path):
                super().__init__(path)
                recorder.note("create", path)

            def write(self, data):
                recorder.note("write", self.path, bytes(data))
                return super().write(data)

            def __exit__(self, kind, error, trace):
                super().__exit__(kind, error, trace)
                if kind is None:
                    recorder.note("sync", self.path)

        monkeypatch.setattr(disk, "NewFile", RecordedFile)
        monkeypatch.setattr(os, "fsync", lambda file: None)
        for name in ("make_folder", "sync_folder", "replace", "remove", "remove_folder"):
            monkeypatch.setattr(disk, name, self.recorded(name.replace("_", " "), getattr(disk, name)))

    def recorded(self, step, call):
        def recorded_call(path, *more):
            call(path, *more)
            self.note(step, path, *(new.relative_to(self.root) for new in more))
            if step == "replace":
                atlas = Atlas.open(self.root / ATLAS)
                self.held[atlas._snapshot.manifest.generation] = content(atlas)

        return recorded_call

    def note(self, step, path, data=None):
        self.trace.append((step, path.relative_to(self.root), data))

    def acknowledge(self, *told):
        """Note that the atlas said, by returning or by its progress, that all so far is committed."""
        self.trace.append(("committed", max(self.held), None))


def content(atlas):
    snapshot = atlas._snapshot
    rows = np.array([row for row, _ in snapshot.entries()], np.int64)
    positions, descriptors = snapshot.positions(rows), snapshot.descriptors(rows)
    known = {entry.path: (entry.mtime_ns, entry.content) for _, entry in snapshot.entries()}
    return {
        path: (*file, tuple(positions.coordinates[number]), descriptors[number].tobytes())
        for number, (path, file) in enumerate(known.items())
    }


def picture(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)).save(path)


def a_life(town, recorder):
    """An atlas is made, filled, changed, thinned and filled again; that meets every kind of write, merge and removal."""

    def table(names):
        (town / "positions.csv").write_text("file,lat,lon\n" + "".join(f"{name},{48 + 0.01 * int(name[1])},11\n" for name in names))

    names = [f"p{number}.png" for number in range(5)]
    for number, name in enumerate(names):
        picture(town / name, number)
    table(names)
    atlas = Atlas.open_or_create(recorder.root / ATLAS, TinyDescriber())
    recorder.acknowledge()
    atlas.add(town, commit_every=2, progress=recorder.acknowledge)
    recorder.acknowledge()
    picture(town / "p1.png", 11)
    (town / "p2.png").rename(town / "q7.png")
    table(["p0.png", "p1.png", "p3.png", "p4.png", "q7.png"])
    atlas.add(town, commit_every=1, progress=recorder.acknowledge)
    recorder.acknowledge()
    atlas.remove(town / "p0.png")
    recorder.acknowledge()
    atlas.remove([town / "p3.png", town / "p4.png"])
    recorder.acknowledge()
    return content(atlas)


def replay(drive, trace, held, into, acknowledged=None):
    """Cut the power after every step, and look at each different drive; yields where it lies, when and how it came to be."""
    seen = {}
    for count, (step, path, data) in enumerate(trace):
        if step == "committed":
            acknowledged = path
        else:
            drive.apply(step, path, data)
        for way, found in cuts(drive, count):
            when = f"{way} after step {count}, {step} {path}"
            new = found not in seen
            if new:
                seen[found] = look(found, into / f"{len(seen)}", held, when)
            assert acknowledged is None or (seen[found] is not None and seen[found] >= acknowledged), when
            if new:
                yield into / f"{len(seen) - 1}" / ATLAS, count, when


def look(found, into, held, when):
    """Open what is left of the atlas: the generation it is in, whole, or None where there is no atlas yet."""
    into.mkdir()
    for path, data in found:
        (into / path).mkdir() if data is None else (into / path).write_bytes(data)
    try:
        atlas = Atlas.open(into / ATLAS)
    except AtlasError as error:
        if "make one with" in str(error):
            return None
        pytest.fail(f"{when}: {error}")
    assert content(atlas) == held[atlas._snapshot.manifest.generation], when
    return atlas._snapshot.manifest.generation


@pytest.fixture
def drives(tmp_path):
    """Where drives are laid out; in memory where the system has a folder there, for they are a thousand."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def life(tmp_path, monkeypatch):
    """The trace of an atlas' life, and where its photos lie at the end."""
    (tmp_path / "town").mkdir()
    (tmp_path / "live").mkdir()
    recorder = Recorder(monkeypatch, tmp_path / "live")
    return recorder, a_life(tmp_path / "town", recorder), tmp_path / "town"


def test_after_a_power_cut_at_any_step_everything_committed_is_there_and_the_work_goes_on(life, drives):
    recorder, end, town = life
    trace, held = list(recorder.trace), dict(recorder.held)
    steps = {step for step, *_ in trace}
    assert steps == {"make folder", "create", "write", "sync", "sync folder", "replace", "remove", "remove folder", "committed"}
    looked = continued = 0
    for opened, count, when in replay(Drive(), trace, held, drives):
        looked += 1
        if looked % 20 == 0 or trace[count][0] == "replace":
            recorder.root = opened.parent
            atlas = Atlas.open_or_create(opened, TinyDescriber())
            atlas.add(town, prune=True)
            whole = content(atlas)
            assert {path: whole[path] for path in end} == end, when
            assert whole.keys() == {str(path) for path in town.glob("*.png")}
            assert {path.name for path in (opened / "segments").iterdir()} == {
                segment.entry.name for segment in atlas._snapshot.segments
            }
            continued += 1
    assert looked > 300
    assert continued > 30


def test_a_power_cut_after_a_killed_writer_was_followed_by_another_loses_nothing(life, drives):
    recorder, _, town = life
    first, held = list(recorder.trace), dict(recorder.held)
    # Killed between the rename of a manifest and its sync, where files were to be removed next.
    moments = [count for count, step in enumerate(first) if step[0] == "replace" and first[count + 2][0] == "remove"]
    for number, killed in enumerate([moments[1], moments[-1]]):
        drive, acknowledged = Drive(), None
        for step, path, data in first[: killed + 1]:
            if step == "committed":
                acknowledged = path
            else:
                drive.apply(step, path, data)
        root, opened = drives / f"{number}", drives / f"{number}" / "live" / ATLAS
        root.mkdir()
        assert look(drive.after_a_kill(), root / "live", held, "killed") is not None
        recorder.root, recorder.trace = root / "live", []
        recorder.held = {past: held[past] for past in held if past <= Atlas.open(opened)._snapshot.manifest.generation}
        Atlas.open(opened, TinyDescriber()).add(town, commit_every=2, prune=True)
        assert list(replay(drive, recorder.trace, recorder.held, root, acknowledged))


def test_an_index_is_whole_after_a_power_cut_at_any_step_or_not_there_yet(tmp_path, monkeypatch, drives):
    pytest.importorskip("faiss")
    for module, name in ((indexfiles, "EXACT_UP_TO"), (indexing, "UNCODED_UP_TO"), (approximate, "EXACT_UP_TO")):
        monkeypatch.setattr(module, name, 2 if module is indexfiles else 0)
    (tmp_path / "live").mkdir()
    (tmp_path / "town").mkdir()
    recorder = Recorder(monkeypatch, tmp_path / "live")
    for number in range(6):
        picture(tmp_path / "town" / f"@{number}00.0@0.0@@.png", number)
    atlas = Atlas.build(tmp_path / "town", at=recorder.root / ATLAS, model=TinyDescriber(), commit_every=3)
    atlas.remove([tmp_path / "town" / f"@{number}00.0@0.0@@.png" for number in (0, 1)])
    trace, held = list(recorder.trace), dict(recorder.held)
    for step in ("create", "remove"):
        assert any(path.parent.name == "index" for what, path, _ in trace if what == step)
    indexed = 0
    for opened, _, when in replay(Drive(), trace, held, drives):
        snapshot = Snapshot.load(opened) if (opened / "manifest.json").exists() else None
        if snapshot is not None and snapshot.manifest.index is not None:
            rows = snapshot.rows()
            found = snapshot.index().search(snapshot.descriptors(rows).astype(np.float32), top=1)
            assert isinstance(snapshot.index(), approximate.Approximate)
            assert found.rows[:, 0].tolist() == rows.tolist(), when
            indexed += 1
    assert indexed > 20


@pytest.mark.parametrize("forgotten", ["sync", "sync folder"])
def test_the_model_of_a_drive_finds_a_missing_sync(life, drives, forgotten):
    recorder = life[0]
    careless = [step for step in recorder.trace if step[0] != forgotten]
    with pytest.raises((AssertionError, pytest.fail.Exception), match="after step"):
        list(replay(Drive(), careless, recorder.held, drives))


# Killing for real

WRITER = """
import sys
from conftest import TinyDescriber
from sameplace.atlas import Atlas
print("begun", flush=True)
Atlas.build(sys.argv[1], at=sys.argv[2], model=TinyDescriber(), commit_every=3,
            progress=lambda done, total, committed: print(committed, flush=True))
"""


def killed_again_and_again(tmp_path, kills):
    """Start a writer, kill it after a while, look at the atlas, and go on until it is full or was killed often enough."""
    town, path = tmp_path / "town", tmp_path / ATLAS
    town.mkdir()
    photos = 40 + 10 * kills
    for number in range(photos):
        picture(town / f"@{number}.0@0.0@@.png", number)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    rng, held = random.Random(0), 0
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(town), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            patience = rng.randrange(1, 12)
            told = [line for line, _ in zip(process.stdout, range(patience), strict=False)]
            process.kill()  # SIGKILL: the process cannot do anything about it
            told += process.stdout.readlines()
        committed = max((int(line) for line in told if line.strip().isdigit()), default=0)
        if path.exists() and (path / "manifest.json").exists():
            atlas = Atlas.open(path)
            assert len(atlas) >= held + committed
            assert len(content(atlas)) == len(atlas)
            held = len(atlas)
        else:
            assert not held + committed
    return Atlas.build(town, at=path, model=TinyDescriber()), photos, held


def test_a_writer_that_is_killed_loses_nothing_that_it_said_was_committed(tmp_path):
    atlas, photos, held = killed_again_and_again(tmp_path, kills=3)
    assert len(atlas) == photos > held > 0


@pytest.mark.slow
def test_a_writer_that_is_killed_thirty_times_loses_nothing(tmp_path):
    atlas, photos, held = killed_again_and_again(tmp_path, kills=30)
    assert len(atlas) == photos
    assert held > 0
