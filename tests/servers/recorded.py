"""Answers of real servers, written down once and played back by a small server on loopback.

`python -m tests.servers.recorded` writes them anew: it starts both servers and asks them what the checks ask.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).with_name("answers")
_HEADERS = ("content-type", "x-phoenix-server-version")

Answer = dict[str, Any]
Answering = Callable[[str, str, str, dict[str, str]], Answer | None]


@contextmanager
def answering(answer: Answering) -> Iterator[str]:
    """A server whose answers `answer(method, path with query, body, headers)` gives; None is a 599."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            found = answer(self.command, self.path, body, {key.lower(): text for key, text in self.headers.items()})
            found = found or {"status": 599, "headers": {}, "body": f"not recorded: {self.command} {self.path} {body}"}
            data = found["body"].encode()
            self.send_response(found["status"])
            for name, value in found["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _handle

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def replayed(name: str, *, requests: list[dict[str, str]] | None = None) -> Iterator[str]:
    """The recorded server `name`; `requests` gets the headers of what is asked."""
    recorded = json.loads((FOLDER / f"{name}.json").read_text())

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> Answer | None:
        if requests is not None:
            requests.append(headers)
        return recorded.get(f"{method} {path} {body}".strip())

    with answering(answer) as base:
        yield base


@contextmanager
def recording(name: str, base: str) -> Iterator[str]:
    """A way through to the server at `base` that writes down every answer in answers/{name}.json."""
    recorded: dict[str, Answer] = {}

    def answer(method: str, path: str, body: str, headers: dict[str, str]) -> Answer | None:
        kept = {key: text for key, text in headers.items() if key in ("content-type", "accept")}
        said = httpx.request(method, base + path, content=body.encode(), headers=kept, timeout=60)
        found = {
            "status": said.status_code,
            "headers": {key: said.headers[key] for key in _HEADERS if key in said.headers},
            "body": said.text,
        }
        recorded[f"{method} {path} {body}".strip()] = found
        return found

    with answering(answer) as through:
        yield through
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(recorded, indent=0, sort_keys=True) + "\n")
    print(f"{name}: {len(recorded)} answers")


def main() -> int:
    """Record both servers."""
    from tests.servers import checks, running

    for name in ("phoenix", "mlflow"):
        with (
            tempfile.TemporaryDirectory() as folder,
            getattr(running, name)(Path(folder)) as base,
            recording(name, base) as through,
        ):
            for check in checks.ALL:
                check(name, through)
    return 0


if __name__ == "__main__":
    sys.exit(main())
