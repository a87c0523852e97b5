"""The service as a process: what it prints, how it ends, and what survives when it is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import jsonschema
import pytest

from conftest import TinyDescriber
from sameplace import models
from sameplace.atlas import Atlas
from sameplace.cli.app import app, run
from serving import TOKEN, files, jpeg, town

ROOT = Path(__file__).parent.parent
# The command line in a process of its own, with a describer that needs no model.
TINY = f"""
import sys, time
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(ROOT / "src")!r}]
from conftest import TinyDescriber
from sameplace import models
from sameplace.cli.app import app, run
class Slow(TinyDescriber):
    def describe(self, images):
        time.sleep(PAUSE)
        return super().describe(images)
models.describer = lambda *_, **__: Slow()
sys.exit(run(sys.argv[1:]))
"""


def started(atlas, *options, pause=0.0):
    """A served atlas: its process, and what it said when it was ready."""
    environment = {**os.environ, "SAMEPLACE_TOKEN": TOKEN}
    arguments = [sys.executable, "-c", TINY.replace("PAUSE", str(pause)), "serve", str(atlas), "--port", "0", "--json", *options]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, json.loads(line)


def ended(process, timeout=20):
    """The exit code, and what was said on stderr."""
    _, err = process.communicate(timeout=timeout)
    return process.returncode, err


def form(photo, **fields):
    """The body of a form."""
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    return b"".join(parts) + b'--b\r\nContent-Disposition: form-data; name="photo"\r\n\r\n' + photo + b"\r\n--b--\r\n"


def post(url, body):
    """The answer to a form."""
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {TOKEN}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as response:
        return json.loads(response.read())


@pytest.fixture
def atlas(tmp_path):
    return town(tmp_path, places=12)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_served_atlas_says_where_it_is_and_ends_politely_with_what_was_begun(how, atlas):
    process, told = started(atlas, pause=1.0)
    jsonschema.validate(told, json.loads((ROOT / "docs" / "schema" / "serve.json").read_text("utf-8")))
    assert (told["images"], told["writable"]) == (12, True)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(post(f"{told['url']}api/locate", form(jpeg(3)))))
    asking.start()
    time.sleep(0.5)
    process.send_signal(how)
    asking.join()
    assert answers[0]["lat"] == pytest.approx(48.003, abs=1e-5)
    code, err = ended(process)
    assert code == 0
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Stopped;")


def test_a_port_that_is_taken_a_short_token_and_a_missing_atlas_are_one_sentence(atlas, tmp_path, monkeypatch, capsys):
    import socket

    monkeypatch.setattr(models, "describer", lambda *_, **__: TinyDescriber())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(["serve", str(atlas), "--port", str(taken.getsockname()[1])]) == 1
    assert "--port" in capsys.readouterr().err
    (tmp_path / "token").write_text("short\n")
    assert run(["serve", str(atlas), "--token-file", str(tmp_path / "token")]) == 2
    assert "16 characters" in capsys.readouterr().err
    assert run(["serve", str(tmp_path / "nowhere"), "--port", "0"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_without_the_extra_the_verb_says_what_to_install(atlas):
    hidden = """
import sys
names = {"fastapi", "uvicorn", "starlette", "pydantic", "anyio", "python_multipart", "prometheus_client"}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from sameplace.cli.app import app, run
sys.exit(run(sys.argv[1:]))
"""
    done = subprocess.run([sys.executable, "-c", hidden, "serve", str(atlas)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'sameplace[serve]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_other_verbs_do_not_mind_that_the_libraries_of_the_service_are_loaded():
    import pydantic  # noqa: F401

    app.parse_args(["train", "toytown", "--to", "run", "--margin", "0.2"], print_error=False, exit_on_error=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_no_acknowledged_addition_is_lost_when_the_service_is_killed(seed, atlas):
    rng, acknowledged, lock = random.Random(seed), {}, threading.Lock()
    for life in range(3):
        process, told = started(atlas, pause=0.01)

        def add(numbers, url=f"{told['url']}api/photos"):
            for number in numbers:
                try:
                    added = post(url, form(jpeg(number), lat=40 + number / 1000, lon=1))
                except OSError:
                    return
                with lock:
                    acknowledged[added["id"]] = added["lat"]

        threads = [
            threading.Thread(target=add, args=(range(1000 * (10 * life + part), 1000 * (10 * life + part) + 999),))
            for part in range(8)
        ]
        for thread in threads:
            thread.start()
        goal, end = len(acknowledged) + rng.randint(4, 24), time.monotonic() + 20
        while len(acknowledged) < goal and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        for thread in threads:
            thread.join()
        ended(process)
    assert len(acknowledged) > 10
    process, told = started(atlas)
    try:
        for name, lat in acknowledged.items():
            with urllib.request.urlopen(f"{told['url']}api/photos/{name}") as response:
                assert json.loads(response.read())["lat"] == lat
            with urllib.request.urlopen(f"{told['url']}api/photos/{name}/picture") as response:
                assert response.read(2) == b"\xff\xd8"
        stored = {path.parent for path in (atlas.parent / "town.atlas-uploads").rglob("photo.jpg")}
        known = {str(Path(entry.path).parent) for _, entry in Atlas.open(atlas)._snapshot.entries()}
        assert {str(folder) for folder in stored} >= {folder for folder in known if "uploads" in folder}
        assert not [name for name in files(atlas.parent / "town.atlas-uploads") if ".part-" in name]
    finally:
        process.terminate()
        ended(process)
