"""Plots: what is drawn is what was measured, in SVG and PNG alike, and never without the protocol."""

from dataclasses import replace
from itertools import pairwise
from math import hypot
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sameplace.errors import SameplaceError
from sameplace.evaluation import Answers, Report
from sameplace.evaluation.canvas import Canvas, Words, dashes, wrapped
from sameplace.evaluation.curves import COLOURS, DEPTH, LEFT, RIGHT, WIDTH, Line, Plot, _look
from sameplace.evaluation.plots import precision_recall_plot, recall_plot, write_plots
from sameplace.measures import NEVER, recall, wilson

SVG = "{http://www.w3.org/2000/svg}"
RANKS = [0, 0, 3, 7, NEVER, 0, 12, NEVER, 1, 0]
SURE = [0.9, 0.8, 0.85, 0.3, 0.2, 0.7, 0.6, 0.4, 0.55, 0.5]


def report(model="tiny", protocol="right within 25 m", ranks=RANKS, answerable=None, recall_at=(1, 5, 10)):
    first = np.array(ranks, np.int64)
    answers = Answers(
        depth=20,
        first=first,
        answerable=np.full(len(first), True) if answerable is None else np.array(answerable),
        confidence=np.array(SURE[: len(first)]),
        error_m=None,
        average_precision=None,
    )
    shares = recall(first, recall_at)
    return Report(
        model=model,
        dataset="town",
        protocol=protocol,
        database=40,
        queries=len(first),
        answerable=int(answers.answerable.sum()),
        recall=shares,
        recall_answerable=None,
        interval={top: wilson(share, len(first)) for top, share in shares.items()},
        mean_average_precision=None,
        precision_recall_area=None,
        recall_at_full_precision=None,
        median_error_m=None,
        located=None,
        bootstrap={},
        descriptor=192,
        size=(32, 32),
        identity="tiny-1",
        runtime="numpy",
        precision="float32",
        fingerprint="f",
        provenance={},
        seconds=1.0,
        answers=answers,
    )


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def curves(svg):
    """The coordinates of the curves themselves, which are the thick lines, without the samples of the legend."""
    lines = [line for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline") if line.get("stroke-width") == "2"]
    points = [np.array([point.split(",") for point in line.get("points").split()], float) for line in lines]
    return points[: len(points) // 2]


def test_protocol_counts_and_every_model_are_in_the_picture():
    svg = recall_plot([report("one"), report("another", ranks=RANKS[::-1])]).svg()
    assert {"one", "another", "recall@N on town"} <= set(words(svg))
    assert "10 queries, 40 database images; right within 25 m" in " ".join(words(svg))


def test_the_curve_lies_where_the_figures_say():
    svg = recall_plot([report()]).svg()
    (curve,) = curves(svg)
    y = curve[:, 1]
    bottom = next(float(line.get("points").split(",")[-1]) for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline"))
    drawn = (bottom - y) / DEPTH
    for top in (1, 5, 20):
        wanted = np.mean(np.array(RANKS) < top)
        x = LEFT + 14 + (WIDTH - LEFT - RIGHT - 28) * np.log(top) / np.log(20)
        assert np.interp(x, curve[:, 0], drawn) == pytest.approx(wanted, abs=0.02)


def test_each_figure_that_was_asked_for_has_its_interval():
    plot = recall_plot([report(recall_at=(1, 5, 10))])
    (line,) = plot.lines
    assert line.intervals == {float(top): wilson(float(np.mean(np.array(RANKS) < top)), 10) for top in (1, 5, 10)}
    assert line.across[line.marks()].tolist() == [1, 5, 10]


def test_a_curve_ends_where_the_database_does():
    (line,) = recall_plot([replace(report(), database=7)]).lines
    assert line.across[-1] == 7
    assert set(line.intervals) == {1.0, 5.0}


def test_the_plot_tells_its_figures_to_those_who_cannot_see_it():
    root = ElementTree.fromstring(recall_plot([report()]).svg())
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "recall@N on town"
    assert "tiny: 40.0 % at 1, 60.0 % at 5, 70.0 % at 10." in root.find(f"{SVG}desc").text


def test_precision_over_recall_is_that_of_the_report():
    (line,) = precision_recall_plot([report()]).lines
    order = np.argsort(-np.array(SURE))
    right = np.cumsum(np.array(RANKS)[order] == 0)
    np.testing.assert_allclose(line.up, right / np.arange(1, 11))
    np.testing.assert_allclose(line.across, right / 10)
    assert line.name.startswith("tiny (area 0.")


def test_a_model_without_answerable_queries_has_no_precision_over_recall(tmp_path):
    hopeless = report("hopeless", ranks=[NEVER] * 10, answerable=[False] * 10)
    assert [line.name.split()[0] for line in precision_recall_plot([report(), hopeless]).lines] == ["tiny"]
    write_plots(tmp_path / "only", [hopeless])
    assert sorted(path.name for path in (tmp_path / "only").iterdir()) == ["recall.png", "recall.svg"]


def test_models_under_different_protocols_never_share_a_plot():
    for other in (report(protocol="right within 2 frames"), replace(report(), queries=11), replace(report(), dataset="city")):
        with pytest.raises(ValueError, match="plot them apart"):
            recall_plot([report(), other])


def test_a_plot_without_its_protocol_or_without_a_curve_is_refused():
    line = Line(name="tiny", across=np.array([1.0]), up=np.array([0.5]))
    with pytest.raises(ValueError, match="protocol"):
        Plot(title="t", protocol="", across="N", up="recall", lines=(line,))
    with pytest.raises(ValueError, match="at least one curve"):
        Plot(title="t", protocol="p", across="N", up="recall", lines=())


def test_svg_and_png_show_the_same_marks(tmp_path):
    write_plots(tmp_path / "plots", [report()])
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "precision-recall.png",
        "precision-recall.svg",
        "recall.png",
        "recall.svg",
    ]
    svg = ElementTree.fromstring((tmp_path / "plots" / "recall.svg").read_text("utf-8"))
    with Image.open(tmp_path / "plots" / "recall.png") as picture:
        assert picture.size == (2 * int(svg.get("width")), 2 * int(svg.get("height")))
        assert "40.0 % at 1" in picture.text["Description"]
        marks = [mark for mark in svg.iter(f"{SVG}polygon") if mark.get("fill") == COLOURS[0]]
        assert len(marks) == 4  # three figures and the legend
        for mark in marks:
            x, y = np.mean([[float(part) for part in point.split(",")] for point in mark.get("points").split()], axis=0)
            assert "#{:02x}{:02x}{:02x}".format(*picture.getpixel((round(2 * x), round(2 * y)))) == COLOURS[0]


def test_another_ending_is_refused_with_its_cure(tmp_path):
    with pytest.raises(SameplaceError, match=r"\.svg or \.png"):
        recall_plot([report()]).save(tmp_path / "plot.pdf")


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=40) | st.sampled_from(["</text><script>alert(1)</script>", '"><b', "\x00\x1b", "&lt;", "\ud800"]))
def test_no_name_can_break_the_svg(name):
    svg = recall_plot([report(name, protocol=f"right {name}")]).svg()
    tags = {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg.encode("utf-8")).iter()}
    assert tags <= {"svg", "title", "desc", "rect", "text", "polyline", "polygon"}


def test_no_two_of_28_models_look_alike():
    looks = [_look(number) for number in range(28)]
    assert len(set(looks)) == 28
    assert len({(dash, shape) for _, dash, shape in looks[:4]}) == 4


def test_everything_stays_on_the_sheet_with_many_models_of_long_names():
    canvas = recall_plot([report(f"a model with a rather long name, number {number}") for number in range(12)]).canvas()
    for piece in canvas.drawn:
        if isinstance(piece, Words):
            assert 0 < piece.at[0] < canvas.width
            assert 0 < piece.at[1] < canvas.height - 8


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=2, max_size=12),
    st.tuples(st.floats(1, 20), st.floats(1, 20)),
)
def test_dashes_ink_as_much_of_a_line_as_they_say(points, dash):
    points = tuple(points)
    whole = sum(hypot(to[0] - at[0], to[1] - at[1]) for at, to in pairwise(points))
    inked = sum(hypot(to[0] - at[0], to[1] - at[1]) for run in dashes(points, dash) for at, to in pairwise(run))
    ink, gap = dash
    rounds, rest = divmod(whole, ink + gap)
    assert inked == pytest.approx(rounds * ink + min(rest, ink), abs=1e-6 * (1 + whole)) or min(rest, ink + gap - rest) < 1e-6


@settings(deadline=None)
@given(st.text("ab ", max_size=200))
def test_wrapping_loses_no_word(text):
    assert " ".join(wrapped(text, 12.0, 100.0)).split() == text.split()


def test_an_empty_sheet_is_white():
    assert Canvas(width=4, height=3, title="", description="", drawn=()).png().getcolors() == [(48, (255, 255, 255))]
