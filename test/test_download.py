"""Downloads from a server on this machine: whole, broken off, continued, replaced, through a proxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from netvlad_core.cli import main
from netvlad_core.download import download
from netvlad_core.errors import CheckpointError, DownloadError
from netvlad_core.model.published import PUBLISHED, RECORD_FILE, PublishedFile, fetch

_SIZE = 3_000_000


@dataclass
class Server:
    """What the server does; `requests` are the ranges it was asked for."""

    content: bytes
    url: str = ""
    tag: str = '"one"'
    break_after: int | None = None
    status: int = 200
    requests: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        self.paths.append(handler.path)
        if self.status != 200:
            handler.send_error(self.status)
            return
        start = 0
        if wanted and handler.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        if self.tag:
            handler.send_header("ETag", self.tag)
        handler.end_headers()
        end = None if self.break_after is None else start + self.break_after
        handler.wfile.write(self.content[start:end])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Server(np.random.default_rng(0).bytes(_SIZE))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{http.server_port}/weights.pth"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield served
    http.shutdown()
    thread.join()
    http.server_close()


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
    (tmp_path / "weights.part").write_bytes(bytes(_SIZE + 1))
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


def test_no_server_says_what_to_do_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    unreachable = replace(PUBLISHED["vgg16"], url="http://127.0.0.1:9/vgg16.pth")
    monkeypatch.setitem(PUBLISHED, "vgg16", unreachable)
    assert main(["fetch-weights", "vgg16", "--folder", str(tmp_path), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "cannot fetch http://127.0.0.1:9/vgg16.pth" in error
    assert f"put it here as {tmp_path / unreachable.file}" in error


def test_stated_checksum_is_compared(server: Server, tmp_path: Path) -> None:
    good = PublishedFile(server.url, "good", "MIT", sha256=sha256(server.content).hexdigest()[:8])
    assert fetch(good, tmp_path, progress=False) == tmp_path / "good"
    assert not (tmp_path / RECORD_FILE).exists()
    bad = replace(good, file="bad", sha256="00000000")
    with pytest.raises(CheckpointError, match=r"its publisher states 00000000; it is kept as bad\.refused"):
        fetch(bad, tmp_path, progress=False)
    assert not (tmp_path / "bad").exists()
    assert (tmp_path / "bad.refused").exists()


def test_later_downloads_are_held_to_the_first(server: Server, tmp_path: Path) -> None:
    published = PublishedFile(server.url, "weights", "MIT")
    path = fetch(published, tmp_path, progress=False)
    record = json.loads((tmp_path / RECORD_FILE).read_text())
    assert record == {server.url: sha256(server.content).hexdigest()}
    assert fetch(published, tmp_path, progress=False) == path
    assert len(server.requests) == 1  # what is there is not fetched again, only checked
    path.unlink()
    server.content, server.tag = server.content[:-1] + b"!", '"two"'
    with pytest.raises(CheckpointError, match=r"the first download had .*take its line out of"):
        fetch(published, tmp_path, progress=False)
    assert not path.exists()


def test_file_put_there_by_hand_is_checked_and_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PUBLISHED, "openibl", replace(PUBLISHED["openibl"], url="http://127.0.0.1:9/x"))
    (tmp_path / PUBLISHED["openibl"].file).write_bytes(b"weights")
    assert main(["fetch-weights", "openibl", "--folder", str(tmp_path)]) == 0
    assert "netvlad import-weights" in capsys.readouterr().out
    assert not server.requests


def test_damaged_record_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=r"checksums\.json, with the checksums .* is damaged"):
        fetch(PublishedFile(server.url, "weights", "MIT"), tmp_path, progress=False)
