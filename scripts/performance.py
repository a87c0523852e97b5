"""Run the benchmarks with fixed arguments, and make docs/performance.md and its plots of what they measured.

    SAMEPLACE_DATA=PHOTOS python scripts/performance.py
    python scripts/performance.py --only layer_speed search_speed.drawn.10000
    python scripts/performance.py --tables

Each benchmark writes results/benchmarks/NAME.json; what the machine had to do besides is added to it. Those of real photos run
where SAMEPLACE_DATA names a folder of photos. The page holds what these files say, and nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from typing import Any

from sameplace.evaluation.canvas import Canvas
from sameplace.evaluation.report import write_json

ROOT = Path(__file__).parent.parent
BENCHMARKS, RESULTS = ROOT / "benchmarks", ROOT / "results" / "benchmarks"
PAGE, IMAGES = ROOT / "docs" / "performance.md", ROOT / "docs" / "images"
PHOTOS, PLACED = "PHOTOS", "PHOTOS/getty"
"""Stand for a folder of real photos, and a folder in it whose photos have positions."""
Told = Mapping[str, Any]
Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One benchmark with its arguments, and the file it writes."""

    name: str
    script: str
    arguments: tuple[str, ...] = ()

    def command(self, given: Mapping[str, str]) -> list[str]:
        """What is run."""
        return [str(BENCHMARKS / f"{self.script}.py"), *(given.get(one, one) for one in self.arguments)]

    def lacks(self, given: Mapping[str, str]) -> bool:
        """Whether it needs photos and there are none."""
        return any(one in (PHOTOS, PLACED) and one not in given for one in self.arguments)


def search(rows: int, *more: str) -> Run:
    """The search in so many drawn descriptors."""
    return Run(name=f"search_speed.drawn.{rows}", script="search_speed", arguments=("--rows", str(rows), *more))


def description(model: str, count: int, cores: int = 1) -> Run:
    """A model, from real photos on disk to descriptors, in rounds of 64 photos at most."""
    arguments = (model, PHOTOS, "--count", str(count), "--rounds", str(max(5, count // 64)), "--cores", str(cores))
    of_cores = "" if cores == 1 else f".{cores}-cores"
    return Run(name=f"description_speed.{model}{of_cores}", script="description_speed", arguments=arguments)


def training(network: str, threads: int) -> Run:
    """Tuples a second."""
    of_threads = "" if threads == 1 else f".{threads}-threads"
    arguments = ("--network", network, "--threads", str(threads))
    return Run(name=f"training_speed_{network}{of_threads}", script="training_speed", arguments=arguments)


RUNS = (
    Run(name="layer_speed", script="layer_speed"),
    *(description("efficientnet-lite0-vlad", 320 * cores, cores) for cores in (1, 2)),
    *(description("vgg16-vlad", 320 * cores, cores) for cores in (1, 2)),
    Run(name="description_loss.efficientnet-lite0-vlad", script="description_loss", arguments=("efficientnet-lite0-vlad", PLACED)),
    Run(name="description_loss.vgg16-vlad", script="description_loss", arguments=("vgg16-vlad", PLACED)),
    Run(name="trunk_peak.vgg16-vlad", script="trunk_peak", arguments=("vgg16-vlad",)),
    Run(name="decoding_speed", script="decoding_speed"),
    Run(name="search_speed.real.1000000", script="search_speed", arguments=("--rows", "1000000", "--photos", PHOTOS)),
    *(search(rows) for rows in (10_000, 100_000, 1_000_000)),
    search(10_000_000, "--queries", "60"),
    Run(name="score_pitts30k", script="score_pitts30k"),
    Run(name="panorama_tiles", script="panorama_tiles"),
    *(training("efficientnet-lite0", threads) for threads in (1, 2)),
    training("vgg16", 1),
    Run(name="training_memory", script="training_memory"),
    Run(name="service_load", script="service_load"),
    Run(name="service_cost", script="service_cost"),
    Run(name="scale_rates", script="scale_rates", arguments=(PHOTOS,)),
)


def measure(run: Run, given: Mapping[str, str]) -> bool:
    """Run one benchmark; its file says how busy the machine was before. Returns whether it reached what it wanted."""
    load = round(os.getloadavg()[0], 2)
    file = RESULTS / f"{run.name}.json"
    done = subprocess.run([sys.executable, *run.command(given), "--to", str(file)], check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"benchmarks/{run.script}.py broke off with {done.returncode}; what it says stands above.")
    told = json.loads(file.read_text("utf-8"))
    write_json(file, {**told, "load_before": load, "machine_cores": os.cpu_count()})
    return done.returncode == 0


def of_photos() -> dict[str, str]:
    """The photos that SAMEPLACE_DATA names."""
    photos = os.environ.get("SAMEPLACE_DATA")
    return {PHOTOS: photos, PLACED: f"{photos}/getty"} if photos else {}


def layer(told: Told) -> Iterator[Row]:
    """Claim 1."""
    for kind, ways in told["times_the_loop"].items():
        for way, ratio in ways.items():
            held = told["peak_megabytes"][kind]
            memory = f"{held['sameplace']:.0f} MB beside {held['loop']:.0f}" if way == "sameplace" else ""
            with_compile = ", torch.compile" if way.endswith("compiled") else ""
            seconds = told["seconds"][kind]
            yield (
                kind.replace("_", " + ") + with_compile,
                f"{1000 * seconds[way]['median']:.0f} ms beside {1000 * seconds['loop']['median']:,.0f}",
                f"**{ratio['median']:.1f}** ({ratio['least']:.1f} to {ratio['most']:.1f})",
                f"{told['wanted'][kind]:.0f}",
                memory,
            )


def described(told: Told) -> Iterator[Row]:
    """Claim 2, end to end."""
    rates, ratio = told["photos_a_second"], told["times_eager"]
    yield (
        f"`{told['model']}`, {told['precision']} ({told['runtime']}), {told['photos']} photos",
        f"{told.get('cores_used', 1)}",
        f"{rates['sameplace']:.1f} photos a second beside {rates['eager']:.1f}",
        f"**{ratio['median']:.2f}** ({ratio['least']:.2f} to {ratio['most']:.2f})",
        f"{told['wanted_times_eager']:g}",
        f"{told['cosine_at_5th_percentile']:.4f}",
    )


def lost(told: Told) -> Iterator[Row]:
    """Claim 2, what it costs."""
    low, high = told["difference_interval_95"]
    share = told["recall@1"]
    yield (
        f"`{told['model']}`, {told['precision']}, {told['queries']:,} queries",
        f"{100 * share['quick']:.1f} beside {100 * share['float32']:.1f}",
        f"**{100 * told['difference']:+.2f}** ({100 * low:+.2f} to {100 * high:+.2f})",
        f"{told['only_quick']} and {told['only_float32']}",
        f"{told['p_value']:.2g}",
    )


def at_peak(told: Told) -> Iterator[Row]:
    """Claim 2, the trunk alone."""
    rates, share = told["billions_a_second"], told["share"]
    yield (
        f"`{told['model']}`, int8",
        f"{rates['trunk']:.0f} billion operations a second beside {rates['peak']:.0f}",
        f"**{100 * share['median']:.0f} %** ({100 * share['least']:.0f} to {100 * share['most']:.0f})",
        f"{100 * told['wanted_share']:.0f} %",
    )


def decoded(told: Told) -> Iterator[Row]:
    """Photos to pixels."""
    for case in told["cases"]:
        rates = case["photos_a_second"]
        (height, width), (rows, columns) = case["photo"], case["wanted"]
        ratio = rates["sameplace"] / rates["pillow_whole"]
        beside = f"{rates['sameplace']:.0f} photos a second beside {rates['pillow_whole']:.0f}"
        yield (f"{width} x {height} to {columns} x {rows}", beside, f"**{ratio:.2f}**", f"{rates['simplejpeg']:.0f}")


def searched(told: Told) -> Iterator[Row]:
    """Claim 3."""
    low, high = told["times_flat"]["quartiles"]
    spent = told["milliseconds"]
    yield (
        f"{told['rows']:,} x {told['dim']}, {told['descriptors']}",
        f"{spent['index']['median']:.2f} ms beside {spent['flat']['median']:.2f}",
        f"**{told['times_flat']['median']:.1f}** ({low:.1f} to {high:.1f})",
        f"{told['recall@1']:.3f}",
        f"{told['recall@10']:.3f}",
        f"{told['bytes_per_descriptor']:g}",
        f"{told['building_seconds']:.0f}",
    )


def scored(told: Told) -> Iterator[Row]:
    """The time and memory of scoring a benchmark."""
    yield (
        f"{told['queries']:,} queries in {told['database']:,} x {told['descriptor']:,}",
        f"{told['seconds']:g} s",
        f"{told['seconds_wanted']:g} s",
        f"{told['peak_over_descriptors_gigabytes']:g} GB",
        f"{told['gigabytes_wanted']:g} GB",
    )


def cut(told: Told) -> Iterator[Row]:
    """Tiles of panoramas."""
    ours = told["tiles_a_second"]["sameplace"]
    for way, rate in told["tiles_a_second"].items():
        yield (way.replace("_", " "), f"{rate:g}", f"**{ours / rate:.1f}**", f"{told['mean_error_in_levels'][way]:g}")


def trained(told: Told) -> Iterator[Row]:
    """The speed of learning."""
    for way, ratio in told["times_as_fast"].items():
        low, high = told["spread"][way]
        rates = told["tuples_per_second"]
        beside = f"{rates['ours']:g} tuples a second beside {rates[way]:g}"
        of_processor = f"{told.get('times_as_fast_by_the_processor', {}).get(way, '')}"
        within = f"**{ratio:g}** ({low:g} to {high:g})"
        yield (f"`{told['network']}` beside {way}", f"{told['threads']}", beside, within, of_processor, f"{told['times_wanted']:g}")


def remembered(told: Told) -> Iterator[Row]:
    """The memory of learning."""
    peak, anonymous = told["peak_resident_gigabytes"], told["peak_anonymous_gigabytes"]
    yield (f"{told['images']:,}", f"{peak:g} GB", f"{anonymous:g} GB", f"{told['gigabytes_wanted']:g} GB")


def served(told: Told) -> Iterator[Row]:
    """The service under load."""
    for kind in ("locate", "add"):
        facts = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in told[kind].items())
        yield (kind, facts, f"{told['errors']}")


def asked_of_service(told: Told) -> Iterator[Row]:
    """What each way of asking the service costs."""
    for matcher, measured in told.items():
        if isinstance(measured, dict) and "first" in measured:
            for way, first in measured["first"].items():
                again = measured["again"][way]
                busy, waited = (f"{first[kind]:.0f}, {again[kind]:.0f}" for kind in ("busy_ms", "p50_ms"))
                yield (way, f"`{matcher.split()[0]}`", busy, waited)


def planned(told: Told) -> Iterator[Row]:
    """The rates of docs/scale.md."""
    for step in ("look", "look_large", "describe", "describe_large", "send"):
        rate = told[step]
        yield (step.replace("_large", ", 12 megapixels"), f"{rate['median']:,.0f} ({rate['least']:,.0f} to {rate['most']:,.0f})")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A table of the page: the files that it is made of, and how one becomes rows."""

    title: str
    words: str
    files: str
    columns: Row
    rows: Callable[[Told], Iterator[Row]]
    plots: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        title="The NetVLAD layer",
        words="Beside a loop over clusters, as public ports write it, on one thread; ratios are paired, in brackets the least and "
        "the most of the rounds. Memory is how far the peak of a process of its own rises.",
        files="layer_speed.json",
        columns=("pass", "time", "times the loop", "wanted", "memory"),
        rows=layer,
    ),
    Claim(
        title="Photos to descriptors",
        words="From files on disk, beside eager float32 torch with Pillow: on one core by processor time, on two by the clock; "
        "rounds take turns. Cosine: how well the descriptors agree with those in float32 at the 5th percentile.",
        files="description_speed.*.json",
        columns=("model", "cores", "speed", "times eager", "wanted", "cosine"),
        rows=described,
    ),
    Claim(
        title="What the quick way costs in places",
        words="Recall@1 in % within 5 m, each photo asking for the others without its own panorama; the same queries described in "
        "both ways, McNemar's test. Right in one way alone: the quick one, and float32.",
        files="description_loss.*.json",
        columns=("model", "recall@1 beside float32", "difference in points (95 %)", "right in one alone", "p"),
        rows=lost,
    ),
    Claim(
        title="The trunk beside the machine's peak",
        words="The peak is what plain int8 convolutions reach at their best, on the same core in the same run.",
        files="trunk_peak.*.json",
        columns=("trunk", "speed", "of the peak", "wanted"),
        rows=at_peak,
    ),
    Claim(
        title="Reading photos",
        words="JPEG files to pixels of a model's size, beside Pillow decoding them whole, one core. simplejpeg gives the same "
        "pixels and is not used: [decision 15](decisions/15-a-lower-precision-is-measured-before-it-is-used.md).",
        files="decoding_speed.json",
        columns=("photo", "speed", "times Pillow", "simplejpeg, photos a second"),
        rows=decoded,
    ),
    Claim(
        title="Search",
        words="One query of the nearest ten on one thread, beside FAISS IndexFlatIP in single precision; in brackets the middle "
        "half of the paired rounds. Recall is against the flat index, bytes are those in memory, building is of one core.",
        files="search_speed.*.json",
        columns=("descriptors", "time", "times flat", "recall@1", "recall@10", "bytes a photo", "building, s"),
        rows=searched,
        plots=("search-growth.svg", "search-curve-real.svg", "search-curve.svg"),
    ),
    Claim(
        title="Scoring",
        words="An evaluation at the size of Pittsburgh 30k, descriptors drawn; memory is what it takes besides the descriptors.",
        files="score_pitts30k.json",
        columns=("size", "time", "allowed", "memory", "allowed"),
        rows=scored,
    ),
    Claim(
        title="Panoramas",
        words="Perspective tiles a second of one core, and the mean error in levels of 255.",
        files="panorama_tiles.json",
        columns=("way", "tiles a second", "ours is faster by", "error"),
        rows=cut,
    ),
    Claim(
        title="Training, speed",
        words="Learning from tuples; ratios are paired, in brackets the least and the most. A thread of its own "
        "decodes besides, in both ways.",
        files="training_speed_*.json",
        columns=("network", "threads", "speed", "times as fast", "by time of the processor", "wanted"),
        rows=trained,
    ),
    Claim(
        title="Training, memory",
        words="The peak of a training that mines from all descriptors.",
        files="training_memory.json",
        columns=("images", "resident", "anonymous", "allowed"),
        rows=remembered,
    ),
    Claim(
        title="The service",
        words="Questions in flight while a writer adds photos.",
        files="service_load.json",
        columns=("request", "seconds", "errors"),
        rows=served,
    ),
    Claim(
        title="What the service is asked",
        words="Milliseconds of the processor and those that a client waits, the first time and when the same is asked again; one "
        "question at a time, two cores, the default model.",
        files="service_cost.json",
        columns=("way", "local features", "processor, ms", "waited, ms"),
        rows=asked_of_service,
    ),
    Claim(
        title="Rates to plan with",
        words="Photos a second of one core, processor time; in brackets the slowest and the quickest round. [Beyond one "
        "machine](scale.md) counts with them.",
        files="scale_rates.json",
        columns=("step", "photos a second"),
        rows=planned,
    ),
)
OPENING = """\
# Performance

Written by `make benchmarks` from [results/benchmarks/](../results/benchmarks/); every figure stands with the command and commit
that made it, what it measures, and the machine. `python scripts/performance.py --only NAME` measures one again, and `--tables`
writes this page from the files alone. The load is the average number of processes that wanted to run in the minute before. Where it
says busy, others used the machine: paired ratios and processor time suffer little, times of a clock do.
"""


def page(results: Path) -> str:
    """docs/performance.md as it should be."""
    return "\n".join([OPENING, *(section(claim, results) for claim in CLAIMS if files(claim, results))])


def files(claim: Claim, results: Path) -> list[Path]:
    """The files of a claim, small ones first where they are numbered."""
    return sorted(
        results.glob(claim.files), key=lambda path: [int(part) if part.isdigit() else -1 for part in path.name.split(".")]
    )


def section(claim: Claim, results: Path) -> str:
    """One table, its plots, and how its figures came about."""
    lines = [f"## {claim.title}", "", claim.words, ""]
    lines += ["| " + " | ".join(claim.columns) + " |", "|" + "---|" * len(claim.columns)]
    made = []
    for path in files(claim, results):
        told = json.loads(path.read_text("utf-8"))
        lines += ["| " + " | ".join(row) + " |" for row in claim.rows(told)]
        made.append(
            f"- [{path.name}](../results/benchmarks/{path.name}) ({told['benchmark']}): `{told['command']}` at {told['commit']}, "
            f"{machine(told)}"
        )
    for plot in claim.plots:
        if plot in plots(results):
            lines += ["", f"![{plots(results)[plot].title}](images/{plot})"]
    return "\n".join([*lines, "", *made, ""])


def machine(told: Told) -> str:
    """The processor, and whether it had a core free for the benchmark."""
    hardware, load = told["hardware"], told.get("load_before")
    if load is None:
        return f"{hardware['processor']}; the load was not recorded"
    cores = told["machine_cores"]
    return f"{hardware['processor']}, {cores} cores, load {load:g}{' (busy)' if load > cores - 1 else ''}"


def plots(results: Path) -> dict[str, Canvas]:
    """The plots that the files allow."""
    runs = [json.loads(path.read_text("utf-8")) for path in results.glob("search_speed.drawn.*.json")]
    runs.sort(key=lambda run: int(run["rows"]))
    found: dict[str, Canvas] = {}
    if len(runs) > 1:
        found["search-growth.svg"] = run_path(str(BENCHMARKS / "search_growth.py"))["drawn"](runs)
    for name, files in {
        "search-curve-real.svg": "search_speed.real.1000000.json",
        "search-curve.svg": "search_speed.drawn.1000000.json",
    }.items():
        for path in results.glob(files):
            found[name] = run_path(str(BENCHMARKS / "search_curve.py"))["drawn"](json.loads(path.read_text("utf-8")))
    return found


def write_page() -> None:
    """The page and its plots."""
    for name, canvas in plots(RESULTS).items():
        canvas.save(IMAGES / name)
    PAGE.write_text(page(RESULTS), encoding="utf-8")


def main() -> int:
    """Measure what is asked for, then write the page; 1 where a benchmark did not reach what it wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [run.name for run in RUNS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tables", action="store_true", help="measure nothing, only write the page")
    asked = parser.parse_args()
    wanted = [] if asked.tables else [run for run in RUNS if run.name in asked.only]
    missed = []
    given = of_photos()
    for run in wanted:
        if run.lacks(given):
            print(f"{run.name} needs real photos: let SAMEPLACE_DATA name their folder.", file=sys.stderr)
            continue
        print(f"{run.name} ...", file=sys.stderr, flush=True)
        if not measure(run, given):
            missed.append(run.name)
    write_page()
    if missed:
        print(f"Not reached what was wanted: {', '.join(missed)}.", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
