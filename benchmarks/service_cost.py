"""What each way of asking the service costs: milliseconds from the first byte of a question to the last of its answer.

    python benchmarks/service_cost.py

Draws a toytown, serves it in this process at a real socket, and asks for `--photos` photos of the second pass one after the other,
each in every way before the next one. All is done twice: local features of the atlas' photos are found at the first time and kept
for the second. Nobody else asks meanwhile; benchmarks/service_load.py tells what happens when many do. Told are the milliseconds
that a client waits, and those that processors were busy with it, which other work on the machine changes little.
"""
# ruff: noqa: T201

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from sameplace import Atlas, ImageSet
from sameplace.datasets.toytown import draw
from sameplace.evaluation.provenance import provenance
from sameplace.evaluation.report import write_json
from sameplace.service import Service, Settings, serving
from sameplace.verification import Either, RootSift, Verifier, best_verifier
from sameplace.verification.reranking import LEAST

TO = Path(__file__).parent.parent / "results" / "benchmarks" / "service_cost.json"
WALK = 10


def post(connection: http.client.HTTPConnection, path: str, photos: Sequence[bytes]) -> tuple[Any, tuple[float, float]]:
    """The answer to photos, and the milliseconds until it was there, and those of all processors."""
    parts = [b'--b\r\nContent-Disposition: form-data; name="photo"\r\n\r\n' + photo + b"\r\n" for photo in photos]
    body = b"".join(parts) + b"--b--\r\n"
    began, busy = time.perf_counter(), time.process_time()
    connection.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=b"})
    response = connection.getresponse()
    told = json.loads(response.read())
    if response.status != 200:
        raise RuntimeError(f"{path}: {told['detail']}")
    return told, ((time.perf_counter() - began) * 1000, (time.process_time() - busy) * 1000)


def measured(url: str, photos: Sequence[bytes]) -> list[dict[str, tuple[float, float]]]:
    """For each photo the milliseconds of each way."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    for path in ("/api/locate", f"/api/why?match={post(connection, '/api/locate', photos[:1])[0]['matches'][0]['id']}"):
        post(connection, path, photos[:1])  # the model that explains is loaded when it is first asked
    came: list[dict[str, tuple[float, float]]] = []
    for number, photo in enumerate(photos):
        answer, alone = post(connection, "/api/locate", [photo])
        match = answer["matches"][0]["id"]
        walk = [photos[(number + step) % len(photos)] for step in range(WALK)]
        ways = {
            "why": (f"/api/why?match={match}", [photo]),
            "proof": (f"/api/proof?match={match}", [photo]),
            "locate verify=5": ("/api/locate?verify=5", [photo]),
            "locate verify=10": ("/api/locate?verify=10", [photo]),
            f"walk of {WALK}": ("/api/walk", walk),
        }
        came.append({"locate": alone, **{name: post(connection, *asked)[1] for name, asked in ways.items()}})
    return came


def told(came: Sequence[dict[str, tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """The middle and the late ones of each way."""
    figures = {}
    for name in came[0]:
        middle, late = np.percentile([one[name][0] for one in came], [50, 95])
        busy = np.median([one[name][1] for one in came])
        figures[name] = {"p50_ms": round(float(middle), 1), "p95_ms": round(float(late), 1), "busy_ms": round(float(busy), 1)}
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--to", type=Path, default=TO, help="the JSON file")
    asked = parser.parse_args(arguments)
    sift = Verifier(RootSift(), ransac=Either(), least=LEAST["rootsift"])
    verifiers = {one.identity: one for one in (best_verifier(), sift)}
    report: dict[str, Any] = {"benchmark": "what each way of asking the service costs, one question at a time"}
    with tempfile.TemporaryDirectory() as folder:
        town = draw(Path(folder) / "town")
        atlas = Path(folder) / "town.atlas"
        report["atlas_photos"] = len(Atlas.build(town / "database", at=atlas))
        photos = [record.path.read_bytes() for record in ImageSet.open(town / "queries").records()[: asked.photos]]
        report["photos"] = len(photos)
        for name, verifier in verifiers.items():
            with serving(Service.start(atlas, Settings(verify_seconds=60.0), verifier=verifier)) as url:
                report[name] = {time: told(measured(url, photos)) for time in ("first", "again")}
            print(f"{name}: {json.dumps(report[name])}")
    report["load_average"] = os.getloadavg()[0]  # who else was busy on the machine
    report |= {**provenance(), "command": "python benchmarks/service_cost.py"}
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    write_json(asked.to, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
