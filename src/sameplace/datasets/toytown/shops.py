"""The ground floor: shop windows with awnings and signs, front doors, arcades and gates."""

from sameplace.datasets.toytown.materials import ACCENTS, Colour, shade
from sameplace.datasets.toytown.panel import Panel


def draw(panel: Panel, kind: str, width: float, height: float, trim: Colour, accent: Colour, glass: Colour) -> None:
    """Draw a ground floor of a kind on a house front of a width; all in metres."""
    match kind:
        case "shop":
            _shop(panel, width, height, accent, glass)
        case "arcade":
            bays = max(2, int(width / 2.6))
            for bay in range(bays):
                centre, span = (bay + 0.5) * width / bays, width / bays * 0.7
                panel.disc(centre, height * 0.55, span / 2, (52, 46, 48))
                panel.box(centre - span / 2, height * 0.55, centre + span / 2, 0, (52, 46, 48))
                panel.pane(centre - span * 0.3, height * 0.5, centre + span * 0.3, 0.6, glass)
        case "garage":
            _door(panel, width * 0.15 + 0.4, height, trim, accent)
            left, right = max(width * 0.35, 2.2), width - 0.8
            panel.box(left - 0.15, height * 0.72 + 0.15, right + 0.15, 0, trim)
            panel.box(left, height * 0.72, right, 0, shade(accent, 0.8))
            for slat in range(5):
                panel.box(left, height * 0.72 * (slat + 1) / 6, right, height * 0.72 * (slat + 1) / 6 - 0.07, shade(accent, 0.55))
        case _:
            doors = 1 if width < 9 else 2
            for door in range(doors):
                _door(panel, (door + 0.5) * width / doors + float(panel.rng.uniform(-0.8, 0.8)), height, trim, accent)
            for side in (0.16, 0.84):
                if abs(side - 0.5) > 0.2 and width > 7:
                    panel.window(side * width, 1.1, min(1.6, width * 0.15), height * 0.4, trim, glass, bars=(2, 2))


def _door(panel: Panel, across: float, height: float, trim: Colour, accent: Colour) -> None:
    """A front door with its frame, panels, fanlight and step."""
    panel.box(across - 0.85, height * 0.78, across + 0.85, 0, trim)
    panel.pane(across - 0.6, height * 0.73, across + 0.6, height * 0.62, (150, 140, 110))
    panel.box(across - 0.6, height * 0.6, across + 0.6, 0.15, accent)
    for side in (-0.3, 0.3):
        for low in (0.35, 1.25):
            panel.box(across + side - 0.2, low + 0.7, across + side + 0.2, low, shade(accent, 0.72))
    panel.box(across - 1.0, 0.18, across + 1.0, 0, (160, 156, 150))


def _shop(panel: Panel, width: float, height: float, accent: Colour, glass: Colour) -> None:
    """A shop front: sign, glass, door, and an awning at two shops of three."""
    rng = panel.rng
    frame = shade(accent, float(rng.choice([0.55, 0.9])))
    panel.box(0.25, height - 0.35, width - 0.25, 0, frame)
    panel.box(0.35, height - 0.4, width - 0.35, height - 1.15, accent)
    letter = float(rng.uniform(0.4, 0.55))
    length = float(rng.uniform(0.4, 0.8)) * width
    panel.glyphs((width - length) / 2, height - 0.55, length, letter, (250, 244, 226))
    door = float(rng.choice([0.2, 0.5, 0.8])) * width
    panes = max(2, int(width / 2))
    for pane in range(panes):
        left, right = 0.5 + pane * (width - 1) / panes, 0.4 + (pane + 1) * (width - 1) / panes
        if not left < door < right:
            panel.pane(left, height - 1.3, right, 0.6, shade(glass, 1.25))
            for ware in range(3):
                colour = ACCENTS[int(rng.integers(len(ACCENTS)))]
                centre = left + (ware + 0.5) * (right - left) / 3
                panel.box(centre - 0.2, 0.7 + float(rng.uniform(0.3, 0.9)), centre + 0.2, 0.65, colour)
    panel.box(door - 0.6, height - 1.3, door + 0.6, 0, shade(frame, 0.6))
    panel.pane(door - 0.45, height - 1.4, door + 0.45, 0.9, glass)
    if rng.random() < 0.66:
        stripes = int(width / 0.6)
        pale = (246, 240, 226)
        for stripe in range(stripes):
            left, right = 0.3 + stripe * (width - 0.6) / stripes, 0.3 + (stripe + 1) * (width - 0.6) / stripes
            panel.box(left, height - 1.1, right, height - 1.85, accent if stripe % 2 else pale)
