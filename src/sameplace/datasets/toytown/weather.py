"""Light and weather: what a pass through town changes about everything and a place cannot help."""

from dataclasses import dataclass

Tint = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Weather:
    """How a street is lit; colours are 0..1, `sun_side` is -1 with the sun on the left, 1 on the right and 0 behind clouds."""

    name: str
    hour: int
    sky_top: Tint
    sky_low: Tint
    clouds: Tint
    cloudiness: float
    ambient: Tint
    sun: Tint = (0.0, 0.0, 0.0)
    sun_side: int = 0
    sun_slope: float = 1.0
    haze: Tint = (0.8, 0.85, 0.9)
    haze_m: float = 400.0
    wet: float = 0.0
    lamps: float = 0.0
    lit_share: float = 0.0
    rain: float = 0.0
    stars: float = 0.0
    snow: float = 0.0
    grain: float = 1.5


FIRST_PASS = (
    Weather(
        name="noon",
        hour=12,
        sky_top=(0.30, 0.55, 0.88),
        sky_low=(0.72, 0.87, 0.96),
        clouds=(1.0, 1.0, 1.0),
        cloudiness=0.6,
        ambient=(0.55, 0.60, 0.70),
        sun=(0.60, 0.55, 0.44),
        sun_side=1,
        sun_slope=0.9,
    ),
    Weather(
        name="morning",
        hour=8,
        sky_top=(0.45, 0.66, 0.90),
        sky_low=(0.98, 0.88, 0.74),
        clouds=(1.0, 0.95, 0.9),
        cloudiness=0.4,
        ambient=(0.52, 0.54, 0.66),
        sun=(0.66, 0.50, 0.30),
        sun_side=-1,
        sun_slope=0.55,
        haze=(0.95, 0.88, 0.8),
        haze_m=220.0,
    ),
    Weather(
        name="overcast",
        hour=15,
        sky_top=(0.70, 0.74, 0.79),
        sky_low=(0.86, 0.88, 0.90),
        clouds=(0.95, 0.95, 0.96),
        cloudiness=1.0,
        ambient=(0.90, 0.92, 0.95),
        haze_m=300.0,
    ),
)
SECOND_PASS = (
    Weather(
        name="dusk",
        hour=20,
        sky_top=(0.22, 0.24, 0.48),
        sky_low=(0.96, 0.56, 0.38),
        clouds=(0.95, 0.55, 0.5),
        cloudiness=0.7,
        ambient=(0.52, 0.36, 0.56),
        sun=(0.34, 0.18, 0.08),
        sun_side=-1,
        sun_slope=0.3,
        haze=(0.7, 0.5, 0.5),
        haze_m=180.0,
        lamps=0.35,
        lit_share=0.35,
        grain=3.0,
    ),
    Weather(
        name="night",
        hour=22,
        sky_top=(0.03, 0.04, 0.12),
        sky_low=(0.10, 0.11, 0.24),
        clouds=(0.13, 0.13, 0.2),
        cloudiness=0.4,
        ambient=(0.25, 0.34, 0.66),
        haze=(0.08, 0.09, 0.18),
        haze_m=150.0,
        lamps=0.85,
        lit_share=0.45,
        stars=1.0,
        grain=4.0,
    ),
    Weather(
        name="rain",
        hour=17,
        sky_top=(0.40, 0.45, 0.53),
        sky_low=(0.56, 0.61, 0.66),
        clouds=(0.5, 0.54, 0.6),
        cloudiness=1.0,
        ambient=(0.50, 0.56, 0.64),
        haze=(0.55, 0.6, 0.66),
        haze_m=45.0,
        wet=0.8,
        lit_share=0.2,
        rain=1.0,
        grain=3.0,
    ),
    Weather(
        name="snow",
        hour=16,
        sky_top=(0.66, 0.70, 0.78),
        sky_low=(0.80, 0.83, 0.88),
        clouds=(0.86, 0.88, 0.92),
        cloudiness=0.8,
        ambient=(0.62, 0.68, 0.80),
        haze=(0.82, 0.85, 0.9),
        haze_m=45.0,
        lit_share=0.3,
        lamps=0.2,
        snow=1.0,
    ),
    Weather(
        name="fog",
        hour=7,
        sky_top=(0.80, 0.80, 0.78),
        sky_low=(0.80, 0.80, 0.78),
        clouds=(0.82, 0.82, 0.8),
        cloudiness=0.2,
        ambient=(0.70, 0.70, 0.68),
        haze=(0.80, 0.80, 0.78),
        haze_m=22.0,
        wet=0.3,
        lamps=0.15,
        lit_share=0.15,
    ),
    Weather(
        name="wet night",
        hour=23,
        sky_top=(0.07, 0.06, 0.10),
        sky_low=(0.19, 0.15, 0.16),
        clouds=(0.2, 0.16, 0.17),
        cloudiness=0.8,
        ambient=(0.54, 0.37, 0.24),
        haze=(0.16, 0.14, 0.17),
        haze_m=80.0,
        lamps=0.95,
        lit_share=0.5,
        wet=1.0,
        rain=0.6,
        grain=4.0,
    ),
)
