"""The page of the service: it needs nobody else, and works in a real browser."""

import re
import runpy
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from serving import client, jpeg, serving, town

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "src" / "sameplace" / "service" / "page"
SCRIPTS = {path.name: path.read_text("utf-8") for path in PAGE.glob("*.js")}


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
    assert "url(" not in text.lower().replace("createobjecturl(", "")


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
        if tag == "canvas":
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
