"""Downloads from a server on this machine: whole, broken off, continued, replaced, through a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from netvlad_core.download import download
from netvlad_core.errors import DownloadError
from support.server import SIZE, Server, serving


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving(monkeypatch) as server:
        yield server


def test_file_appears_when_it_is_whole(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "weights.pth"
    download(server.url, target, progress=False)
    assert target.read_bytes() == server.content
    assert list(target.parent.iterdir()) == [target]


def test_broken_download_is_continued(server: Server, tmp_path: Path) -> None:
    server.break_after = 1_100_000
    with pytest.raises(DownloadError, match=r"broke after 1100000 of 3000000 bytes; call again to continue"):
        download(server.url, tmp_path / "weights", progress=False)
    assert not (tmp_path / "weights").exists()
    server.break_after = None
    download(server.url, tmp_path / "weights", progress=False)
    assert (tmp_path / "weights").read_bytes() == server.content
    assert server.requests == [None, "bytes=1100000-"]


@pytest.mark.parametrize("tag", ['"two"', ""])
def test_file_that_changed_meanwhile_is_fetched_anew(tag: str, server: Server, tmp_path: Path) -> None:
    server.break_after, server.tag = 1_100_000, '"one"' if tag else ""
    with pytest.raises(DownloadError):
        download(server.url, tmp_path / "weights", progress=False)
    server.content, server.tag, server.break_after = server.content[::-1], tag, None
    download(server.url, tmp_path / "weights", progress=False)
    assert (tmp_path / "weights").read_bytes() == server.content


def test_part_that_is_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.part").write_bytes(bytes(SIZE + 1))
    (tmp_path / "weights.version").write_text(server.tag)
    download(server.url, tmp_path / "weights", progress=False)
    assert (tmp_path / "weights").read_bytes() == server.content


def test_proxy_of_the_environment_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url.rpartition("/")[0])
    download("http://weights.example/weights.pth", tmp_path / "weights", progress=False)
    assert server.paths == ["http://weights.example/weights.pth"]
    assert (tmp_path / "weights").read_bytes() == server.content


def test_refusal_of_the_server_is_named(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match="the server answers 404 Not Found"):
        download(server.url, tmp_path / "weights", progress=False)
