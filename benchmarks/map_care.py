"""Maps of several lights: what a map of noon and night finds at dusk, against either alone.

The rendered town by noon and by night (the same drive, darkened) are two maps, `netvlad map merge` joins
them, `netvlad map prune` takes half of the places. Images of another drive, in the other lane, are searched
in each by day, at dusk and by night: Recall@1 within 10 m, and poses of the sequence filter.

    python -m benchmarks.map_care --work .build/localization
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import _measure, scenes
from netvlad_core.data.geometry import Pose
from netvlad_core.data.radii import POSITIVE_WITHIN
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.care.prune import prune
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import STORED_DIMENSION

_RESAMPLED = 2000
_STRETCH = 20  # images that are drawn together: neighbours are right or wrong together


def dusk(image: np.ndarray) -> np.ndarray:
    """Half way to the night of `scenes.dark`, with its noise."""
    noise = np.random.default_rng(image.size + 1).normal(0, 8, image.shape)
    return np.clip((image / 255.0) ** 1.4 * 150 + noise, 0, 255).astype(np.uint8)


def main() -> None:
    parser = _measure.parser(__doc__)
    scenes.add_arguments(parser)
    shop = scenes.workshop(parser.parse_args())
    noon = shop.place_map("town")
    drives = {
        name: shop.drive(noon, shop.rendered("town", "evening"), "town", change)
        for name, change in (("day", None), ("dusk", dusk), ("night", scenes.dark))
    }
    with TemporaryDirectory() as folder:
        maps = _maps(shop, noon, Path(folder))
        right = {
            (name, light): _right(place_map, drive)
            for name, place_map in maps.items()
            for light, drive in drives.items()
        }
        rows = []
        for name, place_map in maps.items():
            shares = (f"{100 * right[name, light].mean():.1f}" for light in drives)
            poses = (_filtered(place_map, drive) for drive in drives.values())
            rows.append([name, len(place_map), *shares, *poses])
    print("R@1 in %, and poses of the filter: share of the images, wrong ones, median error\n")
    _measure.print_table(["map", "places", *drives, *(f"{light}: poses" for light in drives)], rows)
    for other in ("noon", "night"):
        low, high = _interval(right["both", "dusk"], right[other, "dusk"])
        print(f"dusk, both beyond {other}: {100 * low:+.1f} to {100 * high:+.1f} points (95 %)")


def _maps(shop: scenes.Workshop, noon: PlaceMap, folder: Path) -> dict[str, PlaceMap]:
    options = BuildOptions(store_images="none", weights=noon.network_path)
    night_source = scenes.Part(shop.rendered("town", "noon"), change=scenes.dark)
    night = build_map(night_source, folder / "night", options, progress=False)
    both = merge([noon, night], [Pose.identity()], folder / "both", STORED_DIMENSION)
    half = prune(both, folder / "half", len(both) // 2, None, most_loss=1.0).place_map
    return {"noon": noon, "night": night, "both": both, "both, pruned to half": half}


def _right(place_map: PlaceMap, drive: scenes.Drive) -> np.ndarray:
    """Whether the most similar place is within 10 m, (Q,) bool."""
    products = place_map.reduced(drive.descriptors.astype(np.float32)) @ np.asarray(place_map.descriptors).T
    found = place_map.poses[products.argmax(axis=1), :3]
    return np.linalg.norm(found - drive.positions, axis=1) <= POSITIVE_WITHIN


def _filtered(place_map: PlaceMap, drive: scenes.Drive) -> str:
    localizer = Localizer(place_map, place_map.open_extractor(device="cpu"))
    errors = []
    for row in range(len(drive)):
        seen = Observation(
            int(drive.stamps[row]), drive.descriptors[row].astype(np.float32), drive.odometry[row]
        )
        if prior := localizer.track(seen).prior:
            errors.append(float(np.linalg.norm(prior.pose.position - drive.positions[row])))
    wrong = sum(error > POSITIVE_WITHIN for error in errors)
    median = f"{np.median(errors):.2f} m" if errors else "-"
    return f"{100 * len(errors) / len(drive):.1f} %, {wrong}, {median}"


def _interval(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """95 % interval of the difference of two shares of the same images, over stretches of the drive."""
    differences = one.astype(float) - other
    stretches = np.array_split(differences, max(1, len(one) // _STRETCH))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(stretches), size=(_RESAMPLED, len(stretches)))
    sums, counts = np.array([s.sum() for s in stretches]), np.array([len(s) for s in stretches])
    shares = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
