"""The page of the service: it needs nobody else, and works in a real browser."""

import re
import runpy
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sameplace.verification import Verifier
from serving import TinyExplainer, client, jpeg, serving, town

ROOT = Path(__file__).parent.parent
CONTROLS = {"button", "checkbox", "radio", "tab", "link", "textbox", "application", "dialog", "tabpanel", "radiogroup", "tablist"}
# The text of the page that is harder to read than WCAG 2.2 allows (AA, 1.4.3): each colour against all that lies under it.
HARD_TO_READ = """(() => {
  const colour = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => [0, 1, 2].map((part) => top[part] * top[3] + under[part] * (1 - top[3])).concat(1);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, part) => {
    const value = rgb[part] / 255;
    return sum + weight * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  }, 0);
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".unseen, :disabled, noscript") || element.getClientRects()[0]?.width < 2) continue;
    const style = getComputedStyle(element), chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(colour(getComputedStyle(one).backgroundColor));
    const under = chain.reduce((below, above) => over(above, below), [255, 255, 255, 1]);
    const [high, low] = [light(over(colour(style.color), under)), light(under)].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < wanted) found.push(`${walker.currentNode.data.trim()} (${element.className}): ${ratio.toFixed(2)}`);
  }
  return found;
})()"""
PAGE = ROOT / "src" / "sameplace" / "service" / "page"
SCRIPTS = {path.name: path.read_text("utf-8") for path in PAGE.glob("*.js")}

# What has the focus, and whether that is seen.
FOCUSED = """(() => {
  const one = document.activeElement, styles = [one, one.closest("label") ?? one].map((each) => getComputedStyle(each));
  const name = one.getAttribute("aria-label") || one.textContent.trim() || one.id;
  return [name, styles.some((style) => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2)];
})()"""


class Seen(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return town(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def seen():
    return Seen((PAGE / "index.html").read_text("utf-8"))


def test_every_file_of_the_page_is_there_and_comes_from_here(kept, seen):
    wanted = [attrs.get("src") or attrs.get("href") for tag, attrs in seen.elements if tag in ("script", "link", "img")]
    imported = [f"page/{name}" for script in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', script)]
    with client(kept) as asking:
        for address in {*wanted, *imported}:
            response = asking.get(f"/{address}")
            assert response.status_code == 200, address
            again = asking.get(f"/{address}", headers={"If-None-Match": response.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert asking.get("/").headers["content-type"].startswith("text/html")


def test_nothing_of_the_page_asks_for_anything_from_elsewhere_by_itself():
    text = "".join(path.read_text("utf-8") for path in PAGE.iterdir())
    assert set(re.findall(r"https?://[^/\"'`$?]+", text)) == {"https://www.openstreetmap.org", "http://www.w3.org"}
    assert "@import" not in text
    assert "url(" not in text.lower().replace("createobjecturl(", "").replace("revokeobjecturl(", "")


def test_the_page_has_no_inline_script_or_style(seen):
    assert not [name for _, attrs in seen.elements for name in attrs if name.startswith("on") or name == "style"]
    assert not [tag for tag, _ in seen.elements if tag == "style"]
    assert all("src" in attrs for tag, attrs in seen.elements if tag == "script")
    assert not any(
        re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script) for script in SCRIPTS.values()
    )


def test_every_control_has_a_name_and_every_reference_a_target(seen):
    names = {attrs["id"] for _, attrs in seen.elements if "id" in attrs}
    for tag, attrs in seen.elements:
        for reference in ("aria-controls", "aria-labelledby", "for"):
            assert attrs.get(reference, next(iter(names))) in names
        if tag == "canvas" and attrs.get("aria-hidden") != "true":
            assert attrs["aria-label"]
            assert attrs["tabindex"] == "0"
    for script in SCRIPTS.values():
        assert set(re.findall(r'part\("([a-z-]+)"\)|getElementById\("([a-z-]+)"\)', script)) <= {
            *((name, "") for name in names),
            *(("", name) for name in names),
        }
    assert any(attrs.get("role") == "status" for _, attrs in seen.elements)


@pytest.fixture(scope="module")
def browsing():
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("there is no Chromium; install it to try the page")
    tools = runpy.run_path(str(ROOT / "scripts" / "screenshots.py"))
    with tools["browser"]() as page:
        page.look(tools["DESKTOP"])
        yield page


@pytest.fixture
def explained(kept):
    """A service that explains and compares."""
    return serving(kept, explainer=TinyExplainer(), verifier=Verifier())


@pytest.mark.slow
def test_in_a_browser_a_photo_is_located_compared_and_browsed_without_a_complaint(browsing, kept, tmp_path):
    (tmp_path / "<b>query&amp;.jpg").write_bytes(jpeg(7))
    with serving(kept) as url:
        browsing.open(url)
        browsing.give("#file", tmp_path / "<b>query&amp;.jpg")
        browsing.wait("document.querySelectorAll('#answer .matches li').length === 10")
        assert browsing.run("document.querySelector('#answer .verdict').textContent") == "Known place"
        assert browsing.run("document.querySelector('#answer .where').textContent").startswith("48.00700")
        assert browsing.run("document.querySelector('#answer .file').textContent") == "<b>query&amp;.jpg"
        assert "Known place" in browsing.run("document.getElementById('status').textContent")
        browsing.run("document.querySelector('#answer .matches button').click()")
        assert browsing.run("document.getElementById('compare').open && document.querySelectorAll('#pair img').length") == 2
        browsing.run("document.getElementById('compare').close()")
        browsing.run("document.getElementById('tab-browse').click()")
        browsing.wait("document.querySelectorAll('#gallery button').length === 24")
        browsing.run("document.querySelector('#gallery button').click()")
        browsing.wait("document.querySelector('#chosen .where') !== null")
        browsing.settle()
        assert browsing.complaints == []


def spoken(browsing):
    """What a screen reader finds: roles with names, states and whether the focus is there."""
    told = []
    for node in browsing.call("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
            told.append((node["role"]["value"], node.get("name", {}).get("value", ""), properties))
    return told


def named(browsing, role):
    return [name for kind, name, _ in spoken(browsing) if kind == role]


def focused(browsing):
    return [(role, name) for role, name, properties in spoken(browsing) if properties.get("focused") and role != "RootWebArea"][-1]


@pytest.mark.slow
def test_a_screen_reader_finds_a_name_for_everything_and_hears_every_answer(browsing, explained, tmp_path):
    for seed in (3, 4, 5):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed, width=320, height=240))
    browsing.complaints.clear()
    browsing.call("Accessibility.enable")
    with explained as url:
        browsing.open(url)
        browsing.give("#file", tmp_path / "3.jpg")
        browsing.wait("document.querySelectorAll('#answer .matches li').length === 10")
        browsing.settle()
        check_names(browsing)
        assert named(browsing, "tab") == ["Locate", "Browse"]
        assert "Known place" in browsing.run("document.getElementById('status').textContent")
        browsing.run("document.querySelector('#answer .matches button').focus()")
        browsing.press("Enter", 13)
        browsing.wait("document.getElementById('compare').open")
        check_names(browsing)
        assert named(browsing, "dialog") == ["Match 1 of 10"]
        assert named(browsing, "tab") == []  # what lies behind an open dialog is not there
        assert named(browsing, "radio") == ["Photos", "What looks alike", "Points that agree"]
        browsing.run("document.querySelector('#views [value=photos]').focus()")
        for wanted in ("What glows made the two photos similar", "pairs of points agree"):
            browsing.press("ArrowRight", 39)
            browsing.wait(f"document.getElementById('compared').textContent.includes('{wanted}')")
            assert focused(browsing)[0] == "radio"
        browsing.press("Escape", 27)
        browsing.wait("!document.getElementById('compare').open")
        assert focused(browsing)[1].startswith("Compare with match 1")
        browsing.give("#file", *sorted(tmp_path.glob("*.jpg")))
        browsing.wait("document.querySelectorAll('#answer .steps li').length === 3")
        browsing.settle()
        check_names(browsing)
        assert "3 photos along" in browsing.run("document.getElementById('status').textContent")
        assert browsing.complaints == []


def check_names(browsing):
    told = spoken(browsing)
    assert not [(role, properties) for role, name, properties in told if role in CONTROLS | {"image"} and not name.strip()]
    assert any(role == "status" for role, _, _ in told)


@pytest.mark.slow
def test_tab_goes_through_the_page_from_the_question_to_the_map_and_shows_where_it_is(browsing, explained, tmp_path):
    (tmp_path / "3.jpg").write_bytes(jpeg(3))
    browsing.call("Accessibility.enable")
    with explained as url:
        browsing.open(url)
        browsing.give("#file", tmp_path / "3.jpg")
        browsing.wait("document.querySelectorAll('#answer .matches li').length === 10")
        order, seen = [], []
        for _ in range(50):
            browsing.press("Tab", 9)
            name, visible = browsing.run(FOCUSED)
            order.append(name)
            seen.append(visible)
        first = order.index("Skip the map")  # the focus was on the answer, from where it went round
        wanted = [
            "Skip the map",
            "Locate",
            "file",
            "verify",
            "Copy position",
            "OpenStreetMap",
            "Compare with match 1",
            "Compare with match 10",
            "Map of the atlas",
            "Closer",
        ]
        places = [next(place for place, name in enumerate(order[first:]) if name.startswith(one)) for one in wanted]
        assert places == sorted(places)
        assert all(seen[first : first + max(places)]), order[seen.index(False)]


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("screen", ["DESKTOP", "PHONE"])
def test_all_text_stands_out_from_what_is_under_it_and_nothing_is_cut_off(screen, dark, browsing, explained, tmp_path):
    tools = runpy.run_path(str(ROOT / "scripts" / "screenshots.py"))
    for seed in (3, 4, 5, 99):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed))
    (tmp_path / "text.jpg").write_text("no photo")

    def check():
        browsing.settle()
        assert browsing.run(HARD_TO_READ) == []
        assert browsing.run("document.documentElement.scrollWidth <= innerWidth")

    try:
        browsing.look(tools[screen], dark=dark)
        with explained as url:
            browsing.open(url)
            browsing.run("document.getElementById('about').style.color = 'rgb(115 115 115)'")
            assert len(browsing.run(HARD_TO_READ)) == 1  # it can tell
            browsing.run("document.getElementById('about').style.color = ''")
            check()
            for given, there in [
                (["3.jpg"], ".matches"),
                (["99.jpg"], ".matches"),
                (["text.jpg"], ".error"),
                (["3.jpg", "4.jpg", "5.jpg", "99.jpg"], ".steps"),
            ]:
                browsing.give("#file", *(tmp_path / name for name in given))
                browsing.wait(f"document.querySelector('#answer {there}') !== null")
                check()
            browsing.run("document.querySelector('#answer .steps button').click()")
            for way in ("photos", "why", "proof"):
                browsing.run(f"document.querySelector('#views [value={way}]').click()")
                check()
            browsing.run("document.getElementById('compare').close()")
            browsing.run("document.getElementById('tab-browse').click()")
            browsing.wait("document.querySelectorAll('#gallery img').length > 3")
            check()
            browsing.run("document.getElementById('weak').click()")
            browsing.wait("document.querySelectorAll('#parts li').length > 0")
            check()
    finally:
        browsing.look(tools["DESKTOP"])


@pytest.mark.slow
def test_in_a_browser_a_model_that_cannot_explain_and_a_service_that_does_not_compare_say_so(browsing, kept, tmp_path):
    (tmp_path / "3.jpg").write_bytes(jpeg(3))
    with serving(kept, verify=0) as url:
        browsing.open(url)
        assert browsing.run("document.getElementById('verify-way').hidden")
        browsing.give("#file", tmp_path / "3.jpg")
        browsing.wait("document.querySelectorAll('#answer .matches li').length === 10")
        browsing.run("document.querySelector('#answer .matches button').click()")
        for way, told in (("why", "There are no heat maps"), ("proof", "not compared point by point")):
            browsing.run(f"document.querySelector('#views [value={way}]').click()")
            browsing.wait(f"document.getElementById('compared').textContent.includes('{told}')")


@pytest.mark.slow
def test_in_a_browser_matches_that_are_compared_say_how_many_points_agree(browsing, explained, tmp_path):
    (tmp_path / "3.jpg").write_bytes(jpeg(3))
    with explained as url:
        browsing.open(url)
        browsing.give("#file", tmp_path / "3.jpg")
        browsing.wait("document.querySelectorAll('#answer .matches li').length === 10")
        browsing.run("document.getElementById('verify').click()")
        browsing.wait("document.querySelectorAll('#answer .agree').length === 10")
        assert "roved: " in browsing.run("document.querySelector('#answer .notice').textContent")


@pytest.mark.slow
def test_in_a_browser_a_refusal_is_told_and_a_private_atlas_asks_for_its_token(browsing, kept, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    browsing.complaints.clear()
    with serving(kept) as url:
        browsing.open(url)
        browsing.give("#file", tmp_path / "text.jpg")
        browsing.wait("document.querySelector('#answer .error') !== null")
        assert "no image" in browsing.run("document.querySelector('#answer .error .within').textContent")
    with serving(kept, token="a-token-of-the-tests", private=True, uploads=tmp_path / "uploads") as url:
        browsing.call("Page.navigate", url=url)
        browsing.wait("document.getElementById('ask')?.open")
        browsing.run("document.getElementById('token').value = 'a-token-of-the-tests'")
        browsing.run("document.querySelector('#ask button').click()")
        browsing.wait("document.getElementById('about').textContent.includes('24 photos')")
        browsing.run("document.getElementById('tab-browse').click()")
        browsing.wait("[...document.querySelectorAll('#gallery img')].filter((image) => image.src.startsWith('blob:')).length > 3")
