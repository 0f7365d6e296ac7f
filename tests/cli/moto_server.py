"""An S3 server on loopback for tests, in a process of its own."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

#: The whole environment that a client needs, with nothing of the machine's own.
KEYS = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nowhere",
    "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}


class Server(NamedTuple):
    """A server that answers, and the log of its requests."""

    port: int
    log: Path

    @property
    def env(self) -> dict[str, str]:
        return KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def asked(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Send a request without a signature, as no client of wherefrom does."""
        there = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        there.request(method, path, body)
        answer = there.getresponse().read()
        there.close()
        return answer

    def bucket(self, name: str) -> str:
        """Make a bucket and return its address."""
        self.asked("PUT", f"/{name}")
        return f"s3://{name}/studies"

    def requests(self) -> list[str]:
        """Return method and path of the requests so far."""
        text = re.sub(r"\x1b\[\d+m", "", self.log.read_text())
        return re.findall(r'"((?:GET|PUT|POST|HEAD|DELETE) \S+)', text)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start a server on a port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "requests.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | KEYS)
    server = Server(port, log)
    try:
        limit = time.monotonic() + 60
        while True:
            try:
                server.asked("GET", "/moto-api/data.json")
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < limit, "the server does not start"
                time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()
