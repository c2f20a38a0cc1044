"""Phoenix and MLflow as processes on loopback, each with a folder of its own and a project full of traces.

`SERVERS_PYTHON` names the interpreter of the environment that holds them (`make test-servers` makes it).
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers.story import PROJECT, document, trace_id

_PATIENCE = 180.0  # seconds that a server may take to start on a busy machine
_SENDER = Path(__file__).with_name("otlp_sender.py")


def servers_python() -> Path:
    """The interpreter of the servers' environment."""
    return Path(os.environ["SERVERS_PYTHON"])


@contextmanager
def bare_phoenix(folder: Path) -> Iterator[str]:
    """A Phoenix server with nothing in it; gives its base URL."""
    port, grpc = _free_port(), _free_port()
    environment = {
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    command = [str(servers_python().with_name("phoenix")), "serve"]
    with _process(command, folder, environment, f"http://127.0.0.1:{port}", "/v1/projects") as base:
        yield base


@contextmanager
def phoenix(folder: Path) -> Iterator[str]:
    """A Phoenix server with the story in it, two traces of it annotated; gives its base URL."""
    with bare_phoenix(folder) as base:
        _send(base, folder, "openinference")
        spans = f"{base}/v1/projects/{PROJECT}/spans"
        _wait(lambda: httpx.get(spans, params={"trace_id": trace_id(0)}).json().get("data"))
        root = f"{16:016x}"
        for what, named in (("trace", {"trace_id": trace_id(0)}), ("span", {"span_id": root})):
            name, kind, score = ("grounded", "CODE", 1.0) if what == "trace" else ("helpful", "LLM", 0.5)
            note = {**named, "name": name, "annotator_kind": kind, "result": {"score": score}}
            httpx.post(f"{base}/v1/{what}_annotations?sync=true", json={"data": [note]}).raise_for_status()
        yield base


def wait_for_spans(base: str, project: str, count: int) -> None:
    """Wait until a Phoenix server has stored so many spans of a project: what it was sent waits in its memory first."""
    query = "query { projects { edges { node { name recordCount } } } }"

    def stored() -> bool:
        answer = httpx.post(f"{base}/graphql", json={"query": query}, timeout=60).json()
        nodes = [edge["node"] for edge in answer["data"]["projects"]["edges"]]
        return any(node["name"] == project and node["recordCount"] >= count for node in nodes)

    _wait(stored, patience=3_600)


@contextmanager
def mlflow(folder: Path) -> Iterator[str]:
    """An MLflow server with the story in an experiment, one trace of it assessed; gives its base URL."""
    port = _free_port()
    command = [
        str(servers_python().with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port), "--workers",
        "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files"),
    ]  # fmt: skip
    with _process(command, folder, {}, f"http://127.0.0.1:{port}", "/version") as base:
        made = httpx.post(f"{base}/api/2.0/mlflow/experiments/create", json={"name": PROJECT}).raise_for_status()
        _send(base, folder, "genai", f"x-mlflow-experiment-id={made.json()['experiment_id']}")
        identifier = f"tr-{trace_id(0)}"
        one = {"trace_id": identifier}
        _wait(lambda: httpx.get(f"{base}/api/3.0/mlflow/traces/get", params=one).is_success)
        assessment = {
            "assessment_name": "grounded", "trace_id": identifier, "feedback": {"value": True},
            "source": {"source_type": "CODE", "source_id": "tests"},
            "create_time": "2026-03-09T12:00:00Z", "last_update_time": "2026-03-09T12:00:00Z",
        }  # fmt: skip
        address = f"{base}/api/3.0/mlflow/traces/{identifier}/assessments"
        httpx.post(address, json={"assessment": assessment}).raise_for_status()
        yield base


@contextmanager
def _process(command: list[str], folder: Path, more: dict[str, str], base: str, path: str) -> Iterator[str]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **more}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(lambda: process.poll() is not None or httpx.get(base + path, timeout=5).is_success)
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {(folder / 'server.log').read_text()[-2000:]}")
            yield base
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _send(base: str, folder: Path, words: str, *headers: str) -> None:
    spans = folder / "spans.json"
    spans.write_text(json.dumps(document(words)))
    command = [str(servers_python()), str(_SENDER), f"{base}/v1/traces", str(spans), *headers]
    subprocess.run(command, check=True, capture_output=True)


def _wait(done, patience: float = _PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except (httpx.HTTPError, ValueError, KeyError):
            pass
        time.sleep(0.3)
    raise TimeoutError(f"the server was not ready within {patience:.0f} s")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
