"""Serve a toytown atlas, ask it by its own page in Chromium, and write what that looks like to docs/images/.

    python scripts/screenshots.py

Needs Chromium (or Chrome) and the extras `serve` and `verify`. The browser is driven through its own debugging pipe: nothing is
installed.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from sameplace import Atlas, Estimate, ImageSet, distance
from sameplace.datasets.toytown import draw
from sameplace.geo import Position
from sameplace.service import Service, Settings, serving

IMAGES = Path(__file__).parent.parent / "docs" / "images"
DESKTOP, PHONE = (1280, 800, 1.0, False), (390, 844, 2.0, True)
COLOURS = 256
SECONDS = 20.0
STEPS = 10
"""Photos of the walk."""


class Browser:
    """A headless Chromium, spoken to in its DevTools protocol over two pipes."""

    def __init__(self, program: str, profile: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()

        def pipes() -> None:  # Chromium reads at 3 and writes at 4
            read, write = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(read, 3)
            os.dup2(write, 4)

        arguments = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--disable-gpu", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            [program, *arguments, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=pipes,  # noqa: PLW1509  (dup and dup2 take no lock)
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._number, self._session, self.complaints = 0, "", list[str]()
        (target,) = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something and wait for the answer."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        self._out.write(json.dumps(asked | ({"sessionId": self._session} if self._session else {})).encode() + b"\0")
        self._out.flush()
        while True:
            told = self._next()
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                return dict(told["result"])
            if told.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(told["params"])[:500])

    def _next(self) -> dict[str, Any]:
        said = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("Chromium has ended.")
            said += byte
        return dict(json.loads(said))

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            if time.monotonic() > end:
                raise RuntimeError(f"Waited {SECONDS:g} s in vain for {condition}; the page said {self.complaints}")
            time.sleep(0.05)

    def look(self, screen: tuple[int, int, float, bool], *, dark: bool = False) -> None:
        """Use a screen of this size."""
        width, height, scale, phone = screen
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        """Open a page and wait until it knows its atlas."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && document.getElementById('about')?.textContent !== ''")

    def give(self, selector: str, *files: Path) -> None:
        """Put files into an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def press(self, key: str, code: int, *, shift: bool = False) -> None:
        """Press a key, by its name and its number."""
        text = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
        for kind in ("keyDown", "keyUp"):
            pressed = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
            self.call("Input.dispatchKeyEvent", **pressed, **(text if kind == "keyDown" else {}))

    def settle(self) -> None:
        """Wait until every picture in sight is there and the map has been drawn."""
        self.wait(
            "[...document.images].filter((image) => image.getBoundingClientRect().top < innerHeight * 1.5)"
            ".every((image) => image.complete && (image.naturalWidth > 0 || !image.src))"
        )
        time.sleep(0.6)

    def shoot(self) -> Image.Image:
        """What is seen now."""
        return Image.open(BytesIO(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(RuntimeError, OSError):
            self.call("Browser.close")
        self._in.close()
        self._out.close()
        self._process.wait(timeout=20)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.exit("Screenshots need Chromium or Chrome; install one.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        opened = Browser(program, Path(profile))
        try:
            yield opened
        finally:
            opened.close()


def photos(atlas: Atlas, town: Path) -> tuple[Path, Path]:
    """Of the second pass, a photo whose place is known and right, and one that is said to be unknown."""
    truth = {str(record.path): record.position for record in ImageSet.open(town / "queries").records() if record.position}
    answers = [atlas.locate(photo) for photo in truth]
    right = [one for one in answers if one.known and distance(one.position, truth[one.photo]) < 10]
    doubtful = [one for one in answers if one.known is False]
    agreeing = {one.photo: sum(distance(match.position, one.position) < 50 for match in one.matches) for one in right}
    best = max(right, key=lambda one: (agreeing[one.photo], one.matches[0].similarity))
    return Path(best.photo), Path(min(doubtful, key=lambda one: one.matches[0].similarity).photo)


def stroll(atlas: Atlas, town: Path, to: Path) -> list[Path]:
    """The photos of the walk of the second pass that is located best, without times: each house has its own."""
    records = [(record.path, record.position) for record in ImageSet.open(town / "queries").records() if record.position]
    walks = [dict(records[first : first + STEPS]) for first in range(0, len(records) - STEPS + 1, STEPS)]

    def right(walk: dict[Path, Position]) -> int:
        answers = zip(atlas.locate_walk(list(walk)), walk.values(), strict=True)
        return sum(isinstance(one, Estimate) and distance(one.position, truth) < 25 for one, truth in answers)

    to.mkdir(exist_ok=True)
    for path in max(walks, key=right):
        with Image.open(path) as photo:
            photo.save(to / path.name, quality=92)
    return sorted(to.iterdir())


def saved(image: Image.Image, name: str) -> None:
    """Write a picture with few colours: it is mostly paper."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    few = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    few.save(IMAGES / name, optimize=True)
    print(f"{IMAGES / name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")


def compared(page: Browser, way: str) -> Image.Image:
    """The photo beside its best match, in one of the ways that the page has for it."""
    page.run("document.getElementById('compare').open || document.querySelector('#answer :is(.matches, .steps) button').click()")
    page.run(f"document.querySelector('#views [value={way}]').click()")
    page.wait("document.getElementById('compared').textContent.length > 20")
    page.settle()
    return page.shoot()


def pictures(page: Browser, url: str, known: Path, unknown: Path, walk: Sequence[Path]) -> Iterator[tuple[str, Image.Image]]:
    """The page in its states."""
    answered = "document.querySelector('#answer .matches') !== null"
    for name, screen, dark in (("desktop", DESKTOP, False), ("dark", DESKTOP, True), ("phone", PHONE, False)):
        page.look(screen, dark=dark)
        page.open(url)
        if name == "phone":
            page.settle()
            yield "service-phone-start.png", page.shoot()
        page.give("#file", known)
        page.wait(answered)
        page.settle()
        yield f"service-{name}.png", page.shoot()
        if name == "dark":
            yield "service-proof.png", compared(page, "proof")
        else:
            yield f"service-{'phone-' if name == 'phone' else ''}heat.png", compared(page, "why")
        page.run("document.getElementById('compare').close()")
        page.give("#file", *walk)
        page.wait("document.querySelector('#answer .steps') !== null")
        page.settle()
        if name != "dark":
            yield f"service-{'phone-' if name == 'phone' else ''}walk.png", page.shoot()
        if name == "desktop":
            page.give("#file", unknown)
            page.wait("document.querySelector('#answer .verdict.no') !== null")
            page.settle()
            yield "service-unknown.png", page.shoot()
            page.run("document.getElementById('tab-browse').click()")
            page.wait("document.querySelectorAll('#gallery img').length > 20")
            page.run("document.querySelectorAll('#gallery button')[11].click()")
            page.settle()
            yield "service-browse.png", page.shoot()


def coverage(page: Browser, url: str) -> Image.Image:
    """Where an atlas is weak."""
    page.look(DESKTOP)
    page.open(url)
    page.run("document.getElementById('tab-browse').click()")
    page.run("document.getElementById('weak').click()")
    page.wait("document.querySelectorAll('#parts li').length > 0")
    page.settle()
    return page.shoot()


def main() -> None:
    """Draw the town, serve it, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        town = draw(Path(folder) / "town")
        atlas = Atlas.build(town / "database", at=Path(folder) / "toytown.atlas")
        known, unknown = photos(atlas, town)
        walk = stroll(atlas, town, Path(folder) / "walk")
        with serving(Service.start(Path(atlas.path), Settings())) as url, browser() as page:
            for name, image in pictures(page, url, known, unknown, walk):
                saved(image, name)
            complaints = list(page.complaints)
        # Half of the town was photographed a second time.
        second = [record.path for record in ImageSet.open(town / "queries").records()]
        twice = Atlas.build([town / "database", *second[: len(second) // 2]], at=Path(folder) / "twice.atlas")
        with serving(Service.start(Path(twice.path), Settings())) as url, browser() as page:
            saved(coverage(page, url), "service-coverage.png")
            complaints += page.complaints
        if complaints:
            sys.exit("The browser complained: " + "; ".join(complaints))


if __name__ == "__main__":
    main()
