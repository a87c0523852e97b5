"""The command line: what it prints where, and how every mistake becomes one sentence and an exit code."""

import errno
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD
from PIL.TiffImagePlugin import IFDRational

from sameplace import models
from sameplace.cli.app import run
from sameplace.cli.output import counted, metres, painted, printable, progress
from sameplace.errors import ModelError

SRC = str(Path(__file__).parent.parent / "src")
# The command line in a process of its own, with a describer that needs no model.
TINY = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent)!r}, {SRC!r}]
from conftest import TinyDescriber
from sameplace import models
from sameplace.cli.app import run
class Slow(TinyDescriber):
    def describe(self, images):
        time.sleep(PAUSE)
        return super().describe(images)
models.describer = lambda *_, **__: Slow()
sys.exit(run(sys.argv[1:]))
"""


def photograph(path, seed, lat=None, lon=13.4):
    """A photo of its own, with its position in EXIF where it has one."""
    exif = Image.Exif()
    if lat is not None:
        tags = {GPS.GPSLatitudeRef: "N", GPS.GPSLongitudeRef: "E"}
        for tag, degrees in ((GPS.GPSLatitude, lat), (GPS.GPSLongitude, lon)):
            tags[tag] = (IFDRational(round(degrees * 1e7), 10_000_000), IFDRational(0, 1), IFDRational(0, 1))
        exif.get_ifd(IFD.GPSInfo).update(tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(path, exif=exif)
    return path


@pytest.fixture
def photos(tmp_path):
    """Twelve places 200 m apart."""
    for number in range(12):
        photograph(tmp_path / "photos" / f"{number:02d}.jpg", number, lat=52.5 + number * 0.0018)
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tiny_describer):
    """All names of models lead to the describer that needs none."""
    monkeypatch.setattr(models, "describer", lambda *_, **__: tiny_describer)


@pytest.fixture
def atlas(photos, tmp_path, capsys):
    assert run(["index", str(photos), "--to", str(tmp_path / "town.atlas")]) == 0
    capsys.readouterr()
    return tmp_path / "town.atlas"


def sentence(captured):
    """The one line on stderr of a command that failed and printed nothing else."""
    assert captured.out == ""
    assert "Traceback" not in captured.err
    (line,) = captured.err.splitlines()
    assert line.startswith("sameplace: ")
    return line


def command(*arguments, pause=0.0, **options):
    code = TINY.replace("PAUSE", str(pause))
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **options)


def test_a_photo_is_located_in_one_line_with_position_radius_verdict_and_best_match(atlas, photos, capsys):
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas)]) == 0
    printed = capsys.readouterr()
    (line,) = printed.out.splitlines()
    for told in ("03.jpg", "52.505400, 13.400000", "within 5 m", "1.00"):
        assert told in line
    assert printed.err == ""


def test_json_has_one_line_a_photo_and_nothing_else(atlas, photos, capsys):
    assert run(["locate", str(photos / "03.jpg"), str(photos / "07.jpg"), "--atlas", str(atlas), "--json", "--top", "2"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert [first["lat"], second["lat"]] == pytest.approx([52.5054, 52.5126])
    assert len(first["matches"]) == 2
    assert first["x_m"] is None


def test_what_the_atlas_cannot_promise_is_said_to_who_asked_for_it(atlas, photos, capsys):
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas), "--false-accept", "0.01"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1
    assert "The radius is a first guess" in printed.err


def test_photos_of_a_walk_are_located_together(atlas, photos, capsys):
    asked = [str(photos / f"{number:02d}.jpg") for number in (3, 4, 5)]
    assert run(["locate", *asked, "--atlas", str(atlas), "--walk", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["lat"] for answer in answers] == pytest.approx([52.5054, 52.5072, 52.509], abs=1e-5)
    assert not any(answer["calibrated"] for answer in answers)


def test_a_folder_of_photos_can_be_located(atlas, photos, capsys):
    assert run(["locate", str(photos), "--atlas", str(atlas)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12


def test_a_folder_without_photos_is_one_sentence(atlas, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(["locate", str(tmp_path / "empty"), "--atlas", str(atlas)]) == 1
    assert "no photos in" in sentence(capsys.readouterr())


def test_what_cannot_be_read_in_a_folder_has_its_own_line_and_no_table_is_asked(atlas, photos, tmp_path, capsys):
    asked = tmp_path / "asked"
    asked.mkdir()
    (asked / "a.jpg").write_bytes((photos / "03.jpg").read_bytes())
    (asked / "b.jpg").symlink_to(tmp_path / "nothing.jpg")
    (asked / "c.jpg").write_bytes((photos / "07.jpg").read_bytes())
    (asked / "positions.csv").write_bytes(b"\xff")
    assert run(["locate", str(asked), "--atlas", str(atlas), "--json"]) == 1
    good, dangling, also_good = map(json.loads, capsys.readouterr().out.splitlines())
    assert [good["lat"], also_good["lat"]] == pytest.approx([52.5054, 52.5126])
    assert dangling["photo"] == str(asked / "b.jpg")
    assert "No such file" in dangling["error"]
    (asked / "a.jpg").unlink()
    (asked / "c.jpg").unlink()
    assert run(["locate", str(asked), "--atlas", str(atlas)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert "b.jpg  not readable" in line


def test_a_photo_that_cannot_be_read_has_its_own_line_and_the_others_are_answered(atlas, photos, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes((photos / "03.jpg").read_bytes()[:300])
    asked = [str(tmp_path / "broken.jpg"), str(photos / "03.jpg"), str(tmp_path / "missing.jpg")]
    assert run(["locate", *asked, "--atlas", str(atlas)]) == 1
    broken, good, missing = capsys.readouterr().out.splitlines()
    assert "broken.jpg" in broken
    assert "not readable" in broken
    assert "52.5054" in good
    assert "missing.jpg" in missing
    assert run(["locate", *asked, "--atlas", str(atlas), "--json"]) == 1
    broken, good, missing = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(broken) == set(missing) == {"photo", "error"}
    assert good["lat"] == pytest.approx(52.5054)


def test_the_map_is_written_beside_the_answers(atlas, photos, tmp_path, capsys):
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas), "--map", str(tmp_path / "map.html")]) == 0
    assert "03.jpg" in (tmp_path / "map.html").read_text("utf-8")
    assert "map.html" in capsys.readouterr().err


def test_indexing_again_adds_nothing(atlas, photos, capsys):
    assert run(["index", str(photos), "--to", str(atlas)]) == 0
    assert "12 photos (0 added, 0 updated, 0 removed)" in capsys.readouterr().out


def test_pruning_drops_what_is_gone(atlas, photos, capsys):
    (photos / "05.jpg").unlink()
    assert run(["index", str(photos), "--to", str(atlas), "--prune"]) == 0
    assert "11 photos (0 added, 0 updated, 1 removed)" in capsys.readouterr().out


def test_photos_that_cannot_be_indexed_are_listed_and_do_not_fail_the_rest(photos, tmp_path, capsys):
    photograph(photos / "nowhere.jpg", 50)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nonsense")
    assert run(["index", str(photos), "--to", str(tmp_path / "town.atlas")]) == 0
    printed = capsys.readouterr()
    assert "12 photos (12 added" in printed.out
    assert "2 photos left out" in printed.err
    assert "nowhere.jpg" in printed.err
    assert "broken.jpg" in printed.err


def test_a_long_list_of_left_out_photos_is_cut(tmp_path, capsys):
    for number in range(14):
        photograph(tmp_path / "photos" / f"{number}.jpg", number, lat=52.5 if number == 0 else None)
    assert run(["index", str(tmp_path / "photos"), "--to", str(tmp_path / "town.atlas")]) == 0
    assert "3 more; --json lists them all" in capsys.readouterr().err


def test_a_folder_without_any_position_fails_and_says_what_is_wanted(tmp_path, capsys):
    photograph(tmp_path / "photos" / "nowhere.jpg", 1)
    assert run(["index", str(tmp_path / "photos"), "--to", str(tmp_path / "town.atlas")]) == 1
    assert "--positions" in capsys.readouterr().err


def test_photos_of_which_none_can_be_indexed_fail_in_an_atlas_that_holds_others_too(atlas, photos, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "text.jpg").write_text("no photo")
    assert run(["index", str(tmp_path / "more"), "--to", str(atlas)]) == 1
    printed = capsys.readouterr()
    assert "12 photos (0 added" in printed.out
    assert "Nothing could be indexed" in printed.err


def test_photos_that_are_there_already_are_a_success_whatever_a_row_or_a_table_is(atlas, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run(["index", str(tmp_path / "empty"), "--to", str(atlas)]) == 0
    (photos / "positions.csv").write_text("file,place\n" + "".join(f"{path.name},\n" for path in sorted(photos.glob("*.jpg"))) * 2)
    assert run(["index", str(photos), "--to", str(atlas)]) == 0
    (photos / "positions.csv").write_text("")
    assert run(["index", str(photos), "--to", str(atlas)]) == 0


def test_removed_photos_are_no_longer_found(atlas, photos, capsys):
    assert run(["remove", str(photos / "03.jpg"), "--atlas", str(atlas)]) == 0
    assert "1 photo removed, 11 left" in capsys.readouterr().out
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas), "--json"]) == 0
    matches = json.loads(capsys.readouterr().out)["matches"]
    assert not any(match["path"].endswith("03.jpg") for match in matches)


def test_an_atlas_shows_what_it_holds(atlas, capsys):
    assert run(["show", str(atlas)]) == 0
    printed = capsys.readouterr().out
    assert "images: 12" in printed
    assert "tiny" in printed


def test_the_published_models_are_shown(capsys):
    assert run(["show", "models"]) == 0
    printed = capsys.readouterr().out
    assert all(model.name in printed for model in models.published())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["locat", "x.jpg"], 'Did you mean "locate"?'),
        (["locate", "x.jpg", "--atls", "y"], "Did you mean --atlas?"),
        (["locate", "--atlas", "y"], "PHOTOS requires"),
        (["locate", "x.jpg"], "--atlas requires"),
        (["locate", "x.jpg", "--atlas", "y", "--top", "0"], "--top"),
        (["locate", "x.jpg", "--atlas", "y", "--top", "many"], "many"),
        (["locate", "x.jpg", "--atlas", "y", "--false-accept", "5"], "--false-accept"),
        (["index", "photos", "--to", "y", "--model", "efficientnet-lite0-vald"], "did you mean efficientnet-lite0-vlad?"),
        (["evaluate", "vgg61-vlad", "photos"], "did you mean vgg16-vlad?"),
        (["show", "model"], "did you mean models?"),
        (["show", "nothing-like-it"], "show models"),
    ],
)
def test_a_misuse_is_one_sentence_with_the_cure_and_exit_code_2(arguments, told, capsys):
    assert run(arguments) == 2
    assert told in sentence(capsys.readouterr())


def test_a_wrong_path_of_photos_is_one_sentence(tmp_path, capsys):
    assert run(["index", str(tmp_path / "nowhere"), "--to", str(tmp_path / "town.atlas")]) == 1
    assert "nowhere" in sentence(capsys.readouterr())
    assert not (tmp_path / "town.atlas").exists()


def test_a_wrong_path_of_an_atlas_is_one_sentence(photos, tmp_path, capsys):
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(tmp_path / "nowhere.atlas")]) == 1
    assert "nowhere.atlas" in sentence(capsys.readouterr())


def test_an_atlas_of_another_model_is_refused_in_one_sentence(atlas, photos, tmp_path, monkeypatch, tiny_describer, capsys):
    class Other(type(tiny_describer)):
        name, identity = "other", "other-1"

    monkeypatch.setattr(models, "describer", lambda *_, **__: Other())
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas)]) == 1
    assert "tiny" in sentence(capsys.readouterr())


def test_a_model_that_is_known_and_not_installed_fails_with_what_to_install(photos, tmp_path, monkeypatch, capsys):
    def not_installed(_name):
        raise ModelError("The model vgg16-vlad is not installed: pip install sameplace-vgg16-vlad.")

    monkeypatch.setattr(models, "find", not_installed)
    assert run(["index", str(photos), "--to", str(tmp_path / "town.atlas"), "--model", "vgg16-vlad"]) == 1
    assert "pip install sameplace-vgg16-vlad" in sentence(capsys.readouterr())


def test_a_full_disk_is_one_sentence(atlas, photos, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "town.atlas/segments")

    monkeypatch.setattr("sameplace.atlas.Atlas.add", full)
    assert run(["index", str(photos), "--to", str(atlas)]) == 1
    told = sentence(capsys.readouterr())
    assert "No space left on device" in told
    assert "make room" in told


def test_a_map_that_cannot_be_written_is_one_sentence(atlas, photos, tmp_path, capsys):
    assert run(["locate", str(photos / "03.jpg"), "--atlas", str(atlas), "--map", str(tmp_path / "no" / "map.html")]) == 1
    assert "No such file or directory; check the path" in capsys.readouterr().err


def test_no_file_name_can_steer_the_terminal(atlas, photos, capsys):
    hostile = photos / "street\x1b[2J\n.jpg"
    hostile.write_bytes((photos / "03.jpg").read_bytes())
    assert run(["locate", str(hostile), "--atlas", str(atlas)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert len(printed.splitlines()) == 1


def test_interrupted_indexing_says_what_is_safe_and_goes_on_from_there(photos, tmp_path, monkeypatch, tiny_describer, capsys):
    class Impatient(type(tiny_describer)):
        described = 0

        def describe(self, images):
            self.described += len(images)
            if self.described > 8:
                raise KeyboardInterrupt
            return super().describe(images)

    monkeypatch.setattr(models, "describer", lambda *_, **__: Impatient())
    arguments = ["index", str(photos), "--to", str(tmp_path / "town.atlas"), "--commit-every", "4"]
    assert run(arguments) == 130
    assert "8 photos of this run are safe" in sentence(capsys.readouterr())
    monkeypatch.setattr(models, "describer", lambda *_, **__: tiny_describer)
    assert run(arguments) == 0
    assert "12 photos (4 added" in capsys.readouterr().out


def test_an_interrupt_at_the_keyboard_ends_with_130(photos, tmp_path):
    arguments = ("index", photos, "--to", tmp_path / "town.atlas", "--commit-every", 2)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits deafness to it
    try:
        process = command(*arguments, pause=0.5, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        while process.poll() is None and not (tmp_path / "town.atlas" / "manifest.json").exists():
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.startswith("sameplace: Interrupted;")
    assert len(err.splitlines()) == 1
    assert out == ""


def test_a_reader_who_leaves_early_is_no_error():
    process = command("show", "models", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=20) == 141


def test_on_a_terminal_progress_goes_to_stderr_and_stdout_stays_clean(photos, tmp_path):
    terminal, theirs = pty.openpty()
    process = command(
        "index",
        photos,
        "--to",
        tmp_path / "town.atlas",
        "--commit-every",
        3,
        "--json",
        pause=0.1,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    out = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=20) == 0
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert json.loads(out)["added"] == 12
    assert "index" in shown
    assert "/12" in shown


def test_without_a_terminal_long_work_writes_a_line_now_and_then(monkeypatch, capsys):
    clock = iter([0.0, 4.0, 12.0, 12.0, 12.0])
    monkeypatch.setattr("sameplace.cli.output.monotonic", lambda: next(clock))
    with progress("index") as show:
        show(10, 100)
        show(60, 100, 50)
    assert capsys.readouterr().err == "index: 60 of 100 photos, 5.0 a second, 8 s left, 50 safe\n"


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    assert painted("known", "green") == "known"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert painted("known", "green") == "\x1b[32mknown\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painted("known", "green") == "known"


def test_words_for_people():
    assert [counted(1, "photo"), counted(1200, "photo")] == ["1 photo", "1,200 photos"]
    assert [metres(7.6), metres(999.4), metres(15_321.0)] == ["8 m", "999 m", "15.3 km"]
    assert printable("a\u202eb\udcff") == "a\\u202eb\\udcff"


def test_help_and_version_come_at_once_and_load_nothing_heavy():
    heavy = "[name for name in ('torch', 'numpy', 'onnxruntime', 'PIL') if name in sys.modules]"
    code = f"import sys; from sameplace.cli.app import run; run(sys.argv[1:]); print({heavy})"
    for asked in ("--help", "--version"):
        printed = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, text=True, check=True).stdout
        assert printed.splitlines()[-1] == "[]"
