"""Download of one file, continued if an earlier one broke off."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from netvlad_core.errors import DownloadError
from netvlad_core.progress import bar

_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 20


def download(url: str, target: Path, progress: bool = True) -> None:
    """Fetch a file through the proxy that the environment names (https_proxy, no_proxy).

    The part received so far is kept in `<target>.part`, and the next call continues there if the server still
    has the same file. The target appears when it is whole.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses, or the connection breaks.
    """
    part, version = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.version")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(url, part, version) as response:
            _receive(response, url, part, version, progress)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"the server answers {error.code} {error.reason} to {url}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"cannot fetch {url}: {reason or type(error).__name__}") from error
    part.rename(target)
    version.unlink(missing_ok=True)


def _open(url: str, part: Path, version: Path) -> http.client.HTTPResponse:
    """Ask for the missing part, or for the whole file if the server has another one by now."""
    request = urllib.request.Request(url, headers={"User-Agent": "netvlad_ros"})
    if part.is_file() and version.is_file() and part.stat().st_size:
        request.add_header("Range", f"bytes={part.stat().st_size}-")
        request.add_header("If-Range", version.read_text())
    opener = urllib.request.build_opener()  # urlopen would keep the proxy of its first call
    try:
        return opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()
        return _open(url, part, version)


def _receive(response: http.client.HTTPResponse, url: str, part: Path, version: Path, progress: bool) -> None:
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme != "https":
        raise DownloadError(f"{url} leads to {response.url}, which is not encrypted; it is not followed")
    is_rest = response.status == http.client.PARTIAL_CONTENT
    had = part.stat().st_size if is_rest else 0
    length = response.headers.get("Content-Length")
    total = had + int(length) if length else None
    # Only a strong validator may join parts; RFC 9110, section 13.1.5.
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    version.unlink(missing_ok=True)
    if validator:
        version.write_text(validator)
    with (
        part.open("ab" if is_rest else "wb") as file,
        bar(title=Path(urlsplit(url).path).name, total=total, unit="B", show=progress, done=had) as shown,
    ):
        while block := response.read(_BLOCK):
            file.write(block)
            shown.update(len(block))
    received = part.stat().st_size
    if total is not None and received < total:
        raise DownloadError(
            f"the connection to {url} broke after {received} of {total} bytes; call again to continue there"
        )
