"""The page: safe whatever names and numbers there are, and alive in a real browser."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netvlad_core.data.catalogue import CatalogueSource
from netvlad_core.data.geometry import Pose
from netvlad_core.evaluation.report.page import MARK, drive_report, map_report, page_text
from netvlad_core.localization.localizer import Localizer
from netvlad_core.mapping.builder import BuildOptions, build_map
from netvlad_core.mapping.care.merge import merge
from netvlad_core.mapping.place_map import PlaceMap
from netvlad_core.model.extractor import Extractor
from support.browser import opened
from support.street import street, write_catalogue

_FRONTS = street(seed=1, metres=80)
_HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\udcff"


@pytest.fixture(scope="module")
def imaged_map(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> PlaceMap:
    folder = tmp_path_factory.mktemp("imaged")
    catalogue = write_catalogue(folder / "drive", _FRONTS, range(0, 80, 2))
    options = BuildOptions(weights=checkpoint, device="cpu", store_images="full", store_features="none")
    return build_map(CatalogueSource.from_csv(catalogue), folder / "map", options, progress=False)


def _values(place_map: PlaceMap, extractor: Extractor, folder: Path) -> dict[str, Any]:
    """Report of a street of which the last third is said to be elsewhere."""
    catalogue = write_catalogue(folder / "evening", _FRONTS, range(1, 79, 2), gain=0.9)
    head, *rows = catalogue.read_text().splitlines()
    moved = [row.replace(",0,0,", ",400,0,") if at >= 26 else row for at, row in enumerate(rows)]
    catalogue.write_text("\n".join([head, *moved]))
    localizer = Localizer(place_map, extractor)
    source = CatalogueSource.from_csv(catalogue)
    return {
        **drive_report(localizer, source, 10.0, 2e6, Counter({"odd one": 2}), progress=False),
        "version": "1",
    }


def _write(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(page_text(values), encoding="utf-8")
    return path


def test_names_cannot_leave_their_place(street_map: PlaceMap, extractor: Extractor, tmp_path: Path) -> None:
    values = _values(street_map, extractor, tmp_path)
    values["queries"]["source"] = values["map"]["header"]["frame_id"] = _HOSTILE
    for row in values["queries"]["rows"]:
        row[0] = _HOSTILE
    text = page_text(values)
    assert text.count("<script") == text.count("</script") == 2
    assert "<img" not in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert json.loads(data[1])["queries"]["source"] == _HOSTILE
    page = tmp_path / "page.html"
    page.write_text(text, encoding="utf-8")
    with opened(page) as tab:
        assert tab.locator("h1").text_content().startswith("</script><script>alert(1)")


def test_a_number_that_is_none_never_gets_into_the_page() -> None:
    header = {"map_id": "m"}
    with pytest.raises(ValueError, match="JSON"):
        page_text({"map": {"header": header, "x": [np.nan]}})


def test_the_mark_is_where_outputs_are_known_by_it(street_map: PlaceMap) -> None:
    assert MARK in page_text({**map_report(street_map, 0), "version": "1"})[:1024]


def test_a_drive_is_stepped_through(imaged_map: PlaceMap, extractor: Extractor, tmp_path: Path) -> None:
    values = _values(imaged_map, extractor, tmp_path)
    pairs = values["queries"]["columns"].index("pairs")
    for row in values["queries"]["rows"]:
        row[pairs] = base64.b64encode(bytes(range(0, 240, 10))).decode()  # six lines
    page = _write(tmp_path / "page.html", values)
    with opened(page) as tab:
        chosen = "document.querySelector('.row[aria-selected=true]').title"
        first = tab.evaluate(chosen)
        assert "wrong pose" in tab.locator("#detail .state").text_content()
        assert tab.locator("#detail .captions > div").count() == 3  # query, its place, the true place
        tab.keyboard.press("j")
        tab.wait_for_function(f"() => {chosen} !== '{first}'")
        tab.keyboard.press("ArrowUp")
        tab.wait_for_function(f"() => {chosen} === '{first}'")
        tab.keyboard.press("End")
        tab.wait_for_function("() => document.getElementById('list').scrollTop > 500")
        tab.locator("#filter").select_option("failures")
        wrong = sum(row == "wrong" for row in _column(values, "verdict"))
        missed = sum(row == "missed" for row in _column(values, "verdict"))
        assert tab.evaluate("list.order.length") == wrong + missed >= 10
        tab.locator("#filter").select_option("all")
        tab.locator(".row").nth(3).click()
        tab.locator("#colour").select_option("probability")
        assert tab.locator("#legend .ramp i").count() == 7
        tab.locator(".matches tbody tr").nth(2).click()
        tab.wait_for_function("() => document.querySelector('.captions').textContent.includes('Match ')")
        # A click on the trajectory chooses what is drawn there.
        x, y = tab.evaluate("trajectory.toScreen(trajectory.points[20])")
        box = tab.locator("#trajectory").bounding_box()
        tab.mouse.click(box["x"] + x, box["y"] + y)
        tab.wait_for_function(f"() => {chosen} === '020.png'")
        assert "39 images judged as a drive" in tab.locator("#subtitle").text_content()
        assert "odd one" in tab.locator("#figures").text_content()
        assert _is_painted(tab, "canvas.pair")
        tab.locator("canvas.pair").click()
        assert _is_painted(tab, "dialog[open] canvas")
        tab.keyboard.press("Escape")
        tab.wait_for_function("() => !document.querySelector('dialog[open]')")
        assert _is_painted(tab, "#trajectory")


def test_the_map_moves_and_zooms(imaged_map: PlaceMap, extractor: Extractor, tmp_path: Path) -> None:
    page = _write(tmp_path / "page.html", _values(imaged_map, extractor, tmp_path))
    with opened(page) as tab:
        box = tab.locator("#trajectory").bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = tab.evaluate("[...trajectory.middle, trajectory.scale[0]]")
        tab.mouse.move(*middle)
        tab.mouse.wheel(0, -400)
        tab.wait_for_function(f"() => trajectory.scale[0] > 1.5 * {before[2]}")
        tab.mouse.down()
        tab.mouse.move(middle[0] + 80, middle[1], steps=4)
        tab.mouse.up()
        tab.wait_for_function(f"() => trajectory.middle[0] < {before[0]}")
        tab.keyboard.press("f")
        tab.wait_for_function(f"() => Math.abs(trajectory.scale[0] - {before[2]}) < 1e-6")
        tab.locator("#view").select_option("in order")
        tab.wait_for_function("() => trajectory.points[5][0] === 5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_has_one_column(
    imaged_map: PlaceMap, extractor: Extractor, tmp_path: Path, scheme: str
) -> None:
    page = _write(tmp_path / "page.html", _values(imaged_map, extractor, tmp_path))
    with opened(page, 390, 844, scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        places = [tab.locator(name).bounding_box()["y"] for name in (".map-card", "#detail", ".list-card")]
        assert places == sorted(places)
        colours = tab.evaluate("[css('ink'), css('card')]")
        assert (colours[0] < colours[1]) == (scheme == "light")


def test_the_map_alone_and_maps_without_images_or_poses(
    imaged_map: PlaceMap, checkpoint: Path, extractor: Extractor, tmp_path: Path
) -> None:
    with opened(_write(tmp_path / "map.html", {**map_report(imaged_map, 1e6), "version": "1"})) as tab:
        assert tab.evaluate("items.length") == 40
        assert "similarity" in tab.locator("#detail .captions").text_content()
    both = merge([imaged_map, imaged_map], [Pose.from_xyz_yaw(0.0, 50.0)], tmp_path / "both", 0)
    with opened(_write(tmp_path / "both.html", {**map_report(both, 1e6), "version": "1"})) as tab:
        before = tab.evaluate("trajectory.canvas.toDataURL()")
        tab.locator("#colour").select_option("session")
        tab.wait_for_function("(before) => trajectory.canvas.toDataURL() !== before", arg=before)
    write_catalogue(tmp_path / "drive", _FRONTS, range(0, 80, 2))
    options = BuildOptions(
        weights=checkpoint, device="cpu", require_poses=False, store_images="none", store_features="none"
    )
    source = CatalogueSource.from_folder(tmp_path / "drive")
    bare = build_map(source, tmp_path / "bare", options, progress=False)
    with opened(_write(tmp_path / "bare.html", {**map_report(bare, 1e6), "version": "1"})) as tab:
        assert tab.locator(".matches tbody tr").count() == 5
    with opened(_write(tmp_path / "drive.html", _values(bare, extractor, tmp_path))) as tab:
        assert "wrong" not in tab.locator("body").inner_text()
        assert tab.evaluate("trajectory.isOrder")
        tab.keyboard.press("j")
        tab.keyboard.press("c")


def _column(values: dict[str, Any], name: str) -> list[Any]:
    at = values["queries"]["columns"].index(name)
    return [row[at] for row in values["queries"]["rows"]]


def _is_painted(tab: Any, selector: str) -> bool:
    """Whether a canvas has more than one colour, as soon as its pictures have come."""
    tab.wait_for_function(
        """(selector) => {
            const { width, height } = document.querySelector(selector);
            const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
            copy.drawImage(document.querySelector(selector), 0, 0);
            const { data } = copy.getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size > 10;
        }""",
        arg=selector,
    )
    return True
