"""How many questions a service takes at a time: many clients that ask without a pause, while another one adds photos.

    python benchmarks/service_load.py

Draws a toytown, serves it by `sameplace serve` in a process of its own, and keeps `--clients` questions in flight for `--seconds`:
whoever gets an answer asks again at once. A writer adds photos of the second pass all the while. An answer other than 200 or 201,
or none, is an error, and none is wanted. The seconds are those that a client waits, queue included: with as many clients as here
the middle one waits for all that came before it. In the end every acknowledged photo is looked for in the atlas.
"""
# ruff: noqa: T201

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from sameplace import Atlas, ImageSet, LatLon
from sameplace.datasets.toytown import draw
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json

TOKEN = "a-token-for-the-benchmark"
TO = Path(__file__).parent.parent / "results" / "benchmarks" / "service_load.json"
STARTED = threading.Event()


class Tally:
    """What all clients have seen."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"locate": [], "add": []}
        self.statuses: Counter[str] = Counter()
        self.acknowledged: list[str] = []
        self._lock = threading.Lock()

    def note(self, kind: str, status: str, seconds: float, told: bytes) -> None:
        """One answer, or what came in its place."""
        with self._lock:
            self.seconds[kind].append(seconds)
            self.statuses[f"{kind} {status}"] += 1
            if status == "201":
                self.acknowledged.append(json.loads(told)["id"])


def form(photo: bytes, fields: dict[str, float] | None = None) -> bytes:
    """A form with a photo."""
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in (fields or {}).items()]
    head = "".join(parts) + '--b\r\nContent-Disposition: form-data; name="photo"; filename="x.jpg"\r\n\r\n'
    return head.encode() + photo + b"\r\n--b--\r\n"


def ask(tally: Tally, kind: str, url: str, path: str, bodies: Sequence[bytes], until: list[float]) -> None:
    """One client: it asks, waits, and asks again, on one connection."""
    place = urlsplit(url)
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {TOKEN}"}
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    STARTED.wait()
    number = 0
    while time.monotonic() < until[0]:
        began = time.perf_counter()
        try:
            connection.request("POST", path, bodies[number % len(bodies)], headers)
            response = connection.getresponse()
            told, status = response.read(), str(response.status)
        except OSError as error:
            told, status = b"", type(error).__name__
            connection.close()
        tally.note(kind, status, time.perf_counter() - began, told)
        number += 1


def told(seconds: Sequence[float], whole: float) -> dict[str, float | int]:
    """How long clients waited."""
    if not seconds:
        return {"answers": 0}
    middle, late, latest = np.percentile(seconds, [50, 95, 100])
    return {
        "answers": len(seconds),
        "a_second": round(len(seconds) / whole, 1),
        "p50_s": round(float(middle), 3),
        "p95_s": round(float(late), 3),
        "most_s": round(float(latest), 3),
    }


def load(url: str, town: Path, clients: int, seconds: float) -> tuple[Tally, float]:
    """Keep the service busy; returns what was seen, and in how many seconds."""
    records = ImageSet.open(town / "queries").records()
    photos = [record.path.read_bytes() for record in records]
    places = [record.position for record in records if isinstance(record.position, LatLon)]
    questions = [form(photo) for photo in photos]
    additions = [form(photo, {"lat": at.lat, "lon": at.lon}) for photo, at in zip(photos, places, strict=True)]
    tally, until = Tally(), [0.0]
    threads = [
        threading.Thread(target=ask, args=(tally, "locate", url, "/api/locate", questions[one:] + questions[:one], until))
        for one in (number % len(questions) for number in range(clients))
    ]
    threads.append(threading.Thread(target=ask, args=(tally, "add", url, "/api/photos", additions, until)))
    for thread in threads:
        thread.start()
    began = time.monotonic()
    until[0] = began + seconds
    STARTED.set()
    for thread in threads:
        thread.join()
    return tally, time.monotonic() - began


def resident(process: int) -> float:
    """Megabytes that a process had at most, where the system tells."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return round(sum(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file; fails where anything but an answer came, or an addition was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200, help="questions in flight")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        town = draw(Path(folder) / "town")
        atlas = Path(folder) / "town.atlas"
        before = len(Atlas.build(town / "database", at=atlas))
        environment = {**os.environ, "SAMEPLACE_TOKEN": TOKEN}
        command = [sys.executable, "-m", "sameplace", "serve", str(atlas), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        tally, whole = load(url, town, asked.clients, asked.seconds)
        memory = resident(process.pid)
        process.terminate()
        ended = process.wait(timeout=60)
        kept = len(Atlas.open(atlas)) - before
    errors = sum(count for status, count in tally.statuses.items() if status not in ("locate 200", "add 201"))
    report = {
        "benchmark": f"{asked.clients} questions in flight for {asked.seconds:g} s, while a writer adds photos",
        "clients": asked.clients,
        "seconds": round(whole, 1),
        "locate": told(tally.seconds["locate"], whole),
        "add": told(tally.seconds["add"], whole),
        "statuses": dict(sorted(tally.statuses.items())),
        "errors": errors,
        "acknowledged_additions": len(tally.acknowledged),
        "additions_in_the_atlas": kept,
        "most_memory_mb": memory,
        "exit_code": ended,
        **provenance(),
        "command": "python benchmarks/service_load.py",
    }
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, report)
    for kind in ("locate", "add"):
        print(f"{kind}: {json.dumps(report[kind])}")
    print(f"errors: {errors}; {len(tally.acknowledged)} additions acknowledged, {kept} in the atlas; {memory:g} MB at most")
    return int(errors > 0 or kept < len(tally.acknowledged) or ended != 0)


if __name__ == "__main__":
    sys.exit(main())
