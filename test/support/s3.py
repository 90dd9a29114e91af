"""An S3 server on loopback: that of moto. One request after the other, or two might create one name."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from urllib.request import Request, urlopen

import pytest

BUCKET = "s3://fleet"


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve an empty bucket; this process and its children reach it by their environment."""
    moto = pytest.importorskip("moto.server", reason="moto[server] is in no environment that is made here")
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel("ERROR")
    server = make_server("127.0.0.1", 0, moto.DomainDispatcherApplication(moto.create_backend_app))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.port}"
    for name, value in (
        ("AWS_ENDPOINT_URL", address),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "robot"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    try:
        urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()
        urlopen(Request(f"{address}/fleet", method="PUT")).close()
        yield f"{BUCKET}/robots"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
