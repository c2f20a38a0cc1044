"""What an upload that is too large costs the server: `python -m tests.benchmarks.large_upload`.

Starts the workbench on a data folder of its own, sends it a sparse file of N MB over REST while it may take a tenth of
that, then a gzip of the same that is a thousand times smaller. Says the answers, the server's peak memory and how much
of the disk was in use at most.
"""

import argparse
import gzip
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1024 * 1024
ROW = b'{"id": "x", "timestamp": "2026-03-09T09:00:00Z", "facets": {}}'
BOUNDARY = "postmortem-large-upload"
SETUP = """
from knox.models import AuthToken
from tests.builders import make_incident, make_person
person = make_person("Bench", "facilitator")
make_incident(by=person)
print(AuthToken.objects.create(user=person)[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2048)
    size = parser.parse_args().megabytes * MEGABYTE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        port = _free_port()
        environment = {
            **os.environ, "POSTMORTEM_DATA_DIR": name, "DATABASE_URL": f"sqlite:///{name}/bench.sqlite3",
            "TMPDIR": str(folder / "tmp"), "IMPORT_MAX_FILE_BYTES": str(size // 10), "DEBUG": "1",
        }  # fmt: skip
        manage = [sys.executable, "manage.py"]
        subprocess.run([*manage, "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        made = subprocess.run(
            [*manage, "shell", "-v0", "-c", SETUP],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        token = made.stdout.split()[-1]
        address = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(address, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            _wait(port)
            sparse, bomb = folder / "sparse.jsonl", folder / "bomb.jsonl.gz"
            with sparse.open("wb") as file:
                file.truncate(size)
            with gzip.open(bomb, "wb", compresslevel=1) as packed:
                for _ in range(size // MEGABYTE):
                    packed.write(ROW + b" " * (MEGABYTE - len(ROW) - 1) + b"\n")
            for path in (sparse, bomb):
                _send(path, port, token, server.pid, folder / "tmp")
        finally:
            server.terminate()
            server.wait(20)


def _send(path: Path, port: int, token: str, pid: int, disk: Path) -> None:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'.encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    most, over = [0], threading.Event()

    def watch() -> None:
        free = shutil.disk_usage(disk).free
        while not over.wait(0.1):  # files without a name are seen by what is free only
            most[0] = max(most[0], free - shutil.disk_usage(disk).free)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
    connection.request(
        "POST", "/api/incidents/INC-2026-0001/evidence/file/", body=_body(head, path, tail),
        headers={
            "Authorization": f"Token {token}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
        },
    )  # fmt: skip
    answer = connection.getresponse()
    said = answer.read().decode()[:300]
    over.set()
    watcher.join()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    seconds = time.perf_counter() - begin
    print(f"{path.name}, {path.stat().st_size / MEGABYTE:,.0f} MB: {answer.status} {said}")
    print(f"  {seconds:.1f} s, server's peak {peak:.0f} MB, disk at most {most[0] / MEGABYTE:,.0f} MB", flush=True)


def _body(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(MEGABYTE):
            yield piece
    yield tail


def _wait(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.3)
    raise TimeoutError("the server did not start")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    main()
