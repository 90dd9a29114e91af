"""The documents: links lead somewhere, the site has every page, blocks of code are found and run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netvlad_core
from tools.run_documents import ROOT, blocks, run
from tools.site_hooks import as_numpy, on_page_markdown

_PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Names of data sets that nobody outside knows; docs/results.md translates them once.
_PRIVATE = re.compile(r"toshiki(?!NakA)|ietower|\bestate\b|town 7", re.IGNORECASE)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_titles(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_the_site_has_every_page() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    shown = set(re.findall(r": ([\w/]+\.md)$", site, re.MULTILINE))
    assert shown == pages, "every page needs a line in the nav of mkdocs.yml"


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    named = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")}
    assert named == set(netvlad_core.__all__)


def test_the_site_shows_the_help_of_every_command() -> None:
    page = (ROOT / "docs" / "reference" / "command_line.md").read_text(encoding="utf-8")
    shown = on_page_markdown(page)
    assert "### netvlad build-map" in shown
    assert "--store-images" in shown
    assert on_page_markdown("# Another page") == "# Another page"


def test_descriptions_of_parameters_are_no_types() -> None:
    text = "Do.\n\nParameters\n----------\na, b : metres,\n    or feet.\nc : (N, 3) float64\n\nNote : x\n"
    assert as_numpy(text) == (
        "Do.\n\nParameters\n----------\na, b\n    metres,\n    or feet.\nc\n    (N, 3) float64\n\nNote : x\n"
    )


def test_the_readme_is_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_tutorials_have_commands_to_run() -> None:
    without = [page.name for page in (ROOT / "docs" / "tutorials").glob("*.md") if not blocks(page)]
    assert without == []


def test_blocks_run_in_order_until_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.run_documents.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "Not this:\n\n    exit 7\n\n<!-- run: file a.txt -->\n\n    one\n\nThen\n\n<!-- run -->\n\n"
        "    cp a.txt b.txt\n    cat b.txt\n\n<!-- run: python -->\n\n    open('c.txt', 'x')\n\n"
        "<!-- run -->\n\n    false\n    touch d.txt\n\n<!-- run -->\n\n    touch e.txt"
    )
    assert run(page, tmp_path) == "page.md:22 ended with status 1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt", "c.txt", "page.md"]
    assert (tmp_path / "b.txt").read_text() == "one\n\n"
