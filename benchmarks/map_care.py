"""Maps of several lights: what a map of noon and night finds at dusk, against either alone.

A drive of each set by day and by night (the same drive, darkened) are two maps, `netvlad map merge` joins
them, `netvlad map prune` takes half of the places. In the town the map of noon also gets the night of its
west only, as if two robots had driven different streets. Images of another drive are searched in each by day,
at dusk and by night: Recall@1 of single images, and poses of the sequence filter. The other drive is in the
other lane of the town, a second lap or a second visit of the corridors, the other half of the images of the
loop.

    python -m benchmarks.map_care --town --work .build/localization
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import _measure, scenes
from netvlad_core.data.geometry import Pose
from netvlad_core.localization.localizer import Localizer
from netvlad_core.localization.observation import Observation
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.care.parts import Part, write_parts
from netvlad_core.mapping.care.prune import prune
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.mapping.projection import STORED_DIMENSION

_RESAMPLED = 2000
_STRETCH = 20  # images that are drawn together: neighbours are right or wrong together
_EVERY = 8  # places of a sparse map
_LIGHTS = ("day", "dusk", "night")


def dusk(image: np.ndarray) -> np.ndarray:
    """Half way to the night of `scenes.dark`, with its noise."""
    noise = np.random.default_rng(image.size + 1).normal(0, 8, image.shape)
    return np.clip((image / 255.0) ** 1.4 * 150 + noise, 0, 255).astype(np.uint8)


def main() -> None:
    parser = _measure.parser(__doc__)
    scenes.add_arguments(parser)
    shop = scenes.workshop(parser.parse_args())
    for name in [*shop.names(), *(["toshiki_loop"] if shop.data.is_dir() else [])]:
        with TemporaryDirectory() as folder:
            _measure_set(shop, name, Path(folder))


def _measure_set(shop: scenes.Workshop, name: str, folder: Path) -> None:
    source, other, within = shop.sources(name)
    within = 10.0 if name == "town" else within
    day = shop.place_map(name, has_gap=False)
    drives = {
        light: shop.drive(day, other, name, change)
        for light, change in zip(_LIGHTS, (None, dusk, scenes.dark), strict=True)
    }
    maps = _maps(day, source, folder, name == "town")
    right = {
        (kind, light): _right(place_map, drive, within)
        for kind, place_map in maps.items()
        for light, drive in drives.items()
    }
    rows = []
    for kind, place_map in maps.items():
        shares = (f"{100 * right[kind, light].mean():.1f}" for light in drives)
        poses = (_filtered(place_map, drive, within) for drive in drives.values())
        rows.append([kind, len(place_map), *shares, *poses])
    print(
        f"\n{name}: R@1 within {within:g} m in %, and poses of the filter: share of the images, wrong ones, "
    )
    print("median error\n")
    _measure.print_table(["map", "places", *drives, *(f"{light}: poses" for light in drives)], rows)
    _print_intervals(right, maps)


def _print_intervals(right: Mapping[tuple[str, str], np.ndarray], maps: Mapping[str, PlaceMap]) -> None:
    for sparse in ("", f", each {_EVERY}th"):
        if f"both{sparse}" in maps:
            for other in ("day", "night"):
                low, high = _interval(right[f"both{sparse}", "dusk"], right[f"{other}{sparse}", "dusk"])
                print(
                    f"dusk, both beyond {other}{sparse}: {100 * low:+.1f} to {100 * high:+.1f} points (95 %)"
                )


def _maps(day: PlaceMap, source: scenes.FrameSource, folder: Path, is_town: bool) -> dict[str, PlaceMap]:
    options = BuildOptions(store_images="none", weights=day.network_path)
    night = build_map(scenes.Part(source, change=scenes.dark), folder / "night", options, progress=False)
    both = _joined(day, night, folder / "both")
    half = prune(both, folder / "half", len(both) // 2, None, most_loss=1.0).place_map
    maps = {"day": day, "night": night, "both": both, "both, pruned to half": half}
    if is_town:
        maps["day, pruned to half"] = prune(
            day, folder / "less", len(day) // 2, None, most_loss=1.0
        ).place_map
        x = night.poses[:, 0]
        west = write_parts([Part.of(night, np.flatnonzero(x < np.median(x)))], folder / "west", "split", 0)
        maps["day, and night in the west"] = _joined(day, west, folder / "partly")
        few = {name: _sparse(maps[name], folder / f"sparse_{name}") for name in ("day", "night")}
        few["both"] = _joined(few["day"], few["night"], folder / "sparse_both")
        maps |= {f"{name}, each {_EVERY}th": place_map for name, place_map in few.items()}
    return maps


def _joined(one: PlaceMap, other: PlaceMap, output: Path) -> PlaceMap:
    return merge([one, other], [Pose.identity()], output, STORED_DIMENSION)


def _sparse(place_map: PlaceMap, output: Path) -> PlaceMap:
    return write_parts([Part.of(place_map, np.arange(0, len(place_map), _EVERY))], output, "split", 0)


def _observed(drive: scenes.Drive, row: int) -> Observation:
    descriptor = drive.descriptors[row].astype(np.float32)
    return Observation(int(drive.stamps[row]), descriptor, drive.odometry[row])


def _right(place_map: PlaceMap, drive: scenes.Drive, within: float) -> np.ndarray:
    """Whether the best match of each image by itself is within a distance, (Q,) bool."""
    localizer = Localizer(place_map, place_map.open_extractor(device="cpu"))
    found = [localizer.locate(_observed(drive, row)).matches[0].place for row in range(len(drive))]
    return np.linalg.norm(place_map.poses[found, :3] - drive.positions, axis=1) <= within


def _filtered(place_map: PlaceMap, drive: scenes.Drive, within: float) -> str:
    localizer = Localizer(place_map, place_map.open_extractor(device="cpu"))
    errors = []
    for row in range(len(drive)):
        if prior := localizer.track(_observed(drive, row)).prior:
            errors.append(float(np.linalg.norm(prior.pose.position - drive.positions[row])))
    wrong = sum(error > within for error in errors)
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
