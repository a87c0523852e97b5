"""Altered images: another viewpoint, light, season, night, camera; what each thing does, and what none of them may do."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sameplace.errors import TrainingError
from sameplace.training.augmentation import MILD, NIGHT, NONE, PRESETS, STRONG, Augmentation, augmented
from sameplace.training.light import SEASONS, night, seasonal, shaded, toned

SEEDS = st.integers(0, 10_000)
FULL = {"crop": 0.5, "aspect": 1.5, "perspective": 0.2, "colour": 1.0, "shade": 1.0}
ALONE = {
    field.name: replace(NONE, **{field.name: FULL.get(field.name, 1.0)}) for field in fields(Augmentation) if field.name != "aspect"
}


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Soft colours with sharp edges, 120 x 160 pixels."""
    rng = seeded(0)
    soft = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((160, 120), Image.Resampling.BICUBIC)
    pixels = np.array(soft)
    for _ in range(12):
        top, left = rng.integers(0, 100), rng.integers(0, 140)
        pixels[top : top + 18, left : left + 15] = rng.integers(0, 256, 3)
    return pixels


@cache
def chart(height: int = 300, width: int = 400) -> np.ndarray:
    """Red tells how far right a pixel lies, green how far down, both in 0..255 from edge to edge."""
    across, down = (np.arange(width) + 0.5) * 255 / width, (np.arange(height) + 0.5) * 255 / height
    return np.rint(np.stack(np.broadcast_arrays(across, down[:, None], 0.0), axis=2)).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return image.mean(axis=2)


def roughness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(grey(image), axis=1)).mean())


@given(SEEDS, st.integers(1, 70), st.integers(1, 70), st.integers(1, 90), st.integers(1, 90), st.sampled_from(sorted(PRESETS)))
@settings(deadline=None, max_examples=60)
def test_whatever_comes_in_the_size_that_is_asked_for_comes_out(
    seed: int, height: int, width: int, wanted_height: int, wanted_width: int, preset: str
) -> None:
    image = seeded(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    variant = augmented(image, PRESETS[preset], (wanted_height, wanted_width), seeded(seed))
    assert variant.shape == (wanted_height, wanted_width, 3)
    assert variant.dtype == np.uint8
    assert (image == before).all()


@pytest.mark.parametrize("preset", ["mild", "strong", "night"])
def test_the_same_generator_gives_the_same_variant_and_another_one_another(photo: np.ndarray, preset: str) -> None:
    first, again, other = (augmented(photo, PRESETS[preset], (96, 128), seeded(seed)) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_nothing_is_altered_unless_asked_for(photo: np.ndarray) -> None:
    assert (augmented(photo, NONE, (120, 160), seeded(0)) == photo).all()
    smaller = np.asarray(Image.fromarray(photo).resize((128, 96), Image.Resampling.BICUBIC))
    assert (augmented(photo, NONE, (96, 128), seeded(0)) == smaller).all()


@pytest.mark.parametrize("name", sorted(ALONE))
def test_each_thing_happens_when_it_is_asked_for_alone(photo: np.ndarray, name: str) -> None:
    variants = [augmented(photo, ALONE[name], (120, 160), seeded(seed)) for seed in range(6)]
    assert all((variant != photo).any() for variant in variants)
    # Whatever happens, a place stays recognisable: the picture still goes with what it was.
    likeness = [np.corrcoef(grey(variant).ravel(), grey(photo).ravel())[0, 1] for variant in variants]
    assert max(likeness) > 0.6


def test_a_share_is_the_share_of_images_that_it_happens_to(photo: np.ndarray) -> None:
    half = replace(NONE, jpeg=0.3)
    happened = [(augmented(photo, half, (120, 160), seeded(seed)) != photo).any() for seed in range(300)]
    assert 0.22 < np.mean(happened) < 0.38  # three standard deviations


@given(SEEDS, st.floats(0.3, 1.0), st.floats(1.0, 1.5))
@settings(deadline=None, max_examples=50)
def test_a_crop_keeps_the_share_of_the_area_and_the_aspect_it_may(seed: int, crop: float, aspect: float) -> None:
    variant = augmented(chart(), Augmentation(crop=crop, aspect=aspect), (90, 120), seeded(seed)).astype(float)
    # The middles of the outermost pixels are a hundred-and-twentieth of the width, or a ninetieth of the height, within the edges.
    wide = (variant[:, -1, 0].mean() - variant[:, 0, 0].mean()) / 255 * 120 / 119
    high = (variant[-1, :, 1].mean() - variant[0, :, 1].mean()) / 255 * 90 / 89
    assert crop - 0.03 < wide * high < 1.03
    assert 1 / aspect - 0.03 < wide / high < aspect + 0.03


def test_the_sides_of_a_crop_are_stretched_where_they_have_room() -> None:
    variants = [augmented(chart(), Augmentation(crop=0.5, aspect=1.5), (30, 40), seeded(seed)).astype(float) for seed in range(60)]
    stretched = [np.ptp(variant[0, :, 0]) / np.ptp(variant[:, 0, 1]) for variant in variants]
    assert min(stretched) < 0.85
    assert max(stretched) > 1.2


def test_crops_come_from_everywhere() -> None:
    variants = [augmented(chart(60, 80), Augmentation(crop=0.5), (30, 40), seeded(seed)).astype(float) for seed in range(200)]
    lefts = np.array([variant[:, 0, 0].mean() for variant in variants]) / 255
    rights = np.array([variant[:, -1, 0].mean() for variant in variants]) / 255
    assert lefts.min() < 0.03
    assert lefts.max() > 0.2
    assert rights.min() < 0.8
    assert rights.max() > 0.97
    assert abs(np.mean(lefts + rights) / 2 - 0.5) < 0.02


@given(SEEDS)
@settings(deadline=None, max_examples=40)
def test_another_viewpoint_is_a_homography_that_mirrors_nothing(seed: int) -> None:
    variant = augmented(chart(), Augmentation(crop=0.6, aspect=1.3, perspective=0.2), (90, 120), seeded(seed)).astype(float)
    assert (np.diff(variant[..., 0], axis=1) >= -1).all()
    assert (np.diff(variant[..., 1], axis=0) >= -1).all()
    y, x = (part.ravel() for part in np.mgrid[5:85:9, 5:115:11].astype(float))
    u, v = (variant[y.astype(int), x.astype(int), channel] for channel in (0, 1))
    zero, one = np.zeros_like(x), np.ones_like(x)
    across = np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y])
    down = np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y])
    solution = np.linalg.lstsq(np.concatenate([across, down]), np.concatenate([u, v]), rcond=None)[0]
    bottom = solution[6] * x + solution[7] * y + 1
    assert np.abs((solution[:3] @ [x, y, one]) / bottom - u).max() < 2  # a grey level is half a pixel
    assert np.abs((solution[3:6] @ [x, y, one]) / bottom - v).max() < 2


def test_perspective_leans_lines_that_were_upright() -> None:
    variant = augmented(chart(), Augmentation(perspective=0.2), (90, 120), seeded(1)).astype(float)
    assert abs((variant[0, -1, 0] - variant[0, 0, 0]) - (variant[-1, -1, 0] - variant[-1, 0, 0])) > 5


def test_toning_by_nothing_changes_nothing(photo: np.ndarray) -> None:
    assert np.abs(toned(photo, 0.0, seeded(0)) - photo / np.float32(255)).max() < 1e-6


def test_colours_differ_by_exposure_contrast_saturation_and_balance(photo: np.ndarray) -> None:
    variants = np.stack([toned(photo[::2, ::2], 1.0, seeded(seed)) for seed in range(60)])
    brightness, contrast = variants.mean(axis=(1, 2, 3)), variants.std(axis=(1, 2, 3))
    saturation = np.ptp(variants, axis=3).mean(axis=(1, 2))
    warmth = variants[..., 0].mean(axis=(1, 2)) / variants[..., 2].mean(axis=(1, 2))
    assert all(np.ptp(quantity) > 0.3 * quantity.mean() for quantity in (brightness, contrast, saturation, warmth))


@given(SEEDS, st.floats(0.1, 2.0))
@settings(deadline=None, max_examples=40)
def test_uneven_light_leaves_the_exposure_as_it_was(seed: int, stops: float) -> None:
    light = seeded(seed).uniform(0, 1, (40, 50, 3)).astype(np.float32)
    uneven = shaded(light, stops, seeded(seed))
    assert uneven.mean() == pytest.approx(light.mean(), rel=1e-3)
    # Light has no colour of its own here: every pixel keeps its hue.
    assert np.abs(uneven / light - (uneven / light)[..., :1]).max() < 1e-3


def test_black_stays_black_in_any_light() -> None:
    assert not shaded(np.zeros((9, 9, 3), np.float32), 1.0, seeded(0)).any()


def test_a_season_changes_leaves_more_than_walls() -> None:
    leaf, wall = np.float32([0.2, 0.5, 0.15]), np.float32([0.45, 0.45, 0.45])
    light = np.stack([leaf, wall])[:, None, :].repeat(3, axis=1)
    changed = np.stack([seasonal(light, seeded(seed)) - light for seed in range(60)])
    moved = np.abs(changed).mean(axis=(2, 3))
    assert moved[:, 0].mean() > 2 * moved[:, 1].mean()
    assert len(np.unique(changed.round(1)[:, 0, 0], axis=0)) >= len(SEASONS)


def by_night_as_published(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """What the whitening of the first published models has seen."""
    is_grey = rng.random() < 0.6
    light = np.asarray(image.convert("L").convert("RGB") if is_grey else image, np.float64) / 255
    light = light ** rng.uniform(1.3, 2.6) * rng.uniform(0.35, 0.8)
    if rng.random() < 0.5:
        light = light * np.array([1.1, 0.95, 0.75])
    light = light + rng.normal(0, rng.uniform(0, 0.05), light.shape)
    dark = Image.fromarray((light.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(dark.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))))


def test_night_is_the_night_that_the_published_models_have_seen(photo: np.ndarray) -> None:
    pairs = [
        (night(photo, seeded(seed)).astype(float), by_night_as_published(Image.fromarray(photo), seeded(seed)).astype(float))
        for seed in range(60)
    ]
    # Another generator of noise: all that is drawn before is the same, and noise and blur are alike on average.
    means = np.array([[ours.mean(axis=(0, 1)), theirs.mean(axis=(0, 1))] for ours, theirs in pairs])
    assert np.abs(means[:, 0] - means[:, 1]).max() < 2
    rough = np.array([[roughness(ours), roughness(theirs)] for ours, theirs in pairs]).mean(axis=0)
    assert rough[0] == pytest.approx(rough[1], rel=0.1)


@given(SEEDS)
@settings(deadline=None, max_examples=40)
def test_nights_are_darker_than_days(photo: np.ndarray, seed: int) -> None:
    assert night(photo, seeded(seed)).mean() < 0.8 * photo.mean()
    assert augmented(photo, Augmentation(night=1.0), (120, 160), seeded(seed)).mean() < 0.8 * photo.mean()


def test_lamps_light_one_part_of_a_night_more_than_another() -> None:
    wall = np.full((60, 60, 3), 160, np.uint8)
    spread = [
        np.ptp(night(wall, seeded(seed), stops=stops)[5:-5, 5:-5].mean(axis=(1, 2))) for seed in range(20) for stops in (0.0, 1.5)
    ]
    assert np.mean(spread[1::2]) > 5 * np.mean(spread[::2])


def test_blur_smooths_and_noise_roughens(photo: np.ndarray) -> None:
    blurred = [roughness(augmented(photo, ALONE["blur"], (120, 160), seeded(seed))) for seed in range(20)]
    noisy = [roughness(augmented(photo, ALONE["noise"], (120, 160), seeded(seed))) for seed in range(20)]
    assert max(blurred) < roughness(photo) < min(noisy)


def test_what_was_made_small_has_lost_what_a_thumbnail_cannot_hold() -> None:
    rng = seeded(0)
    fine = rng.integers(0, 2, (240, 320, 1)).repeat(3, axis=2).astype(np.uint8) * 200
    coarse = np.kron(rng.integers(0, 2, (6, 8)), np.ones((40, 40)))[..., None].repeat(3, axis=2).astype(np.uint8) * 200
    for seed in range(5):
        assert augmented(fine, ALONE["small"], (240, 320), seeded(seed)).std() < 0.6 * fine.std()
        assert augmented(coarse, ALONE["small"], (240, 320), seeded(seed)).std() > 0.9 * coarse.std()


def test_what_stands_before_a_place_hides_a_part_and_leaves_the_rest() -> None:
    paper = chart(120, 160)
    hidden = [(augmented(paper, ALONE["occlusion"], (120, 160), seeded(seed)) != paper).any(axis=2).mean() for seed in range(60)]
    assert max(hidden) < 0.45
    assert 0.03 < np.mean(hidden) < 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [("crop", 0.0), ("crop", 1.5), ("aspect", 0.5), ("perspective", 0.5), ("night", -0.1), ("jpeg", 1.1), ("shade", 9.0)],
)
def test_what_makes_no_sense_is_refused_with_its_limits(name: str, value: float) -> None:
    with pytest.raises(TrainingError, match=rf"augmentation's {name} must lie in .*, got {value}; give"):
        Augmentation(**{name: value})


def test_a_stronger_preset_alters_more(photo: np.ndarray) -> None:
    def apart(augmentation: Augmentation) -> float:
        variants = [augmented(photo, augmentation, (120, 160), seeded(seed)) for seed in range(40)]
        return float(np.mean([1 - np.corrcoef(grey(variant).ravel(), grey(photo).ravel())[0, 1] for variant in variants]))

    none, mild, strong = map(apart, (NONE, MILD, STRONG))
    assert none < 1e-6 < mild < strong
    assert NIGHT.night == 1
    assert set(PRESETS) >= {"none", "mild", "strong"}
