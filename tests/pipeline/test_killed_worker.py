"""A worker is killed in the middle of an import, and another one finishes it: nothing lost, nothing doubled."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection

from tests.changes.hosts import NOW, ago, gitlab, sha
from tests.pipeline.conftest import ROOT
from tests.pipeline.slow_upload import file_bytes

# On PostgreSQL the processes share the test database, which must be there and hold what is committed.
pytestmark = [pytest.mark.django_db(transaction=True)] if connection.vendor != "sqlite" else []


def start(what, environment, module="slow_worker"):
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.pipeline.{module}", what],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(what, environment, module="slow_worker"):
    process = start(what, environment, module)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output


def test_killed_in_the_middle_and_finished_by_another(environment):
    run("setup", environment)
    first = start("work", environment)
    try:
        while first.stdout.readline().strip() != "page 2":
            assert first.poll() is None
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=10)
    left = json.loads(run("state", environment))
    assert left["state"] == "running"  # the dead worker's claim is still there
    assert 30 <= left["traces"] < 100

    run("work", environment)
    assert json.loads(run("state", environment)) == {
        "state": "done", "attempts": 2, "done": 100, "message": "All pages are here.",
        "traces": 100, "blobs": 10, "imports": 1,
    }  # fmt: skip


def test_a_pull_killed_in_the_middle_is_finished_by_another(environment):
    """Six slow pages; the second worker goes on at the mark of the first and doubles nothing."""
    host, third = gitlab(), threading.Event()
    path = "/api/v4/projects/7/deployments"
    host.lists[path] = [
        host.lists[path][0] | {"id": number, "sha": sha(number), "updated_at": ago(seconds=90_000 - number * 60)}
        for number in range(600)
    ]
    answer = host.answer

    def slowly(*args):
        if args[1].startswith(path):
            time.sleep(0.1)
            if host.count(path) == 3:
                third.set()
        return answer(*args)

    host.answer = slowly
    with host.serving() as base:
        environment |= {"FEED_BASE": base}
        run("setup", environment, "slow_feed")
        first = start("work", environment, "slow_feed")
        try:
            assert third.wait(60)
        finally:
            os.kill(first.pid, signal.SIGKILL)
            first.communicate(timeout=10)
        left = json.loads(run("state", environment, "slow_feed"))
        assert left["busy"]  # the dead worker's claim is still there
        assert 100 <= left["changes"] < 600
        before = len(host.asked)
        run("work", environment, "slow_feed")
        end = json.loads(run("state", environment, "slow_feed"))
    assert end == {"busy": False, "changes": 601, "received": 1, "error": "", "failures": 0, "audited": 601}
    asked = next(address for address in host.asked[before:] if address.startswith(path))
    since = datetime.fromisoformat(parse_qs(urlsplit(asked).query)["updated_after"][0])
    # at most one page and the overlap of two hours are read again
    last = NOW - timedelta(seconds=90_000 - left["changes"] * 60)
    assert last - timedelta(hours=4) < since <= last


def test_a_file_killed_in_the_middle_goes_on_behind_its_last_piece(environment):
    run("setup", environment, "slow_upload")
    first = start("work", environment, "slow_upload")
    try:
        for _ in range(3):
            assert first.stdout.readline().strip() == "piece"
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=10)
    left = json.loads(run("state", environment, "slow_upload"))
    assert left["state"] == "running"
    assert 40 <= left["traces"] < 200
    assert left["counted"] == [left["traces"], left["scores"], False]  # nothing claims to be whole

    pieces = run("work", environment, "slow_upload").count("piece")
    assert pieces == (200 - left["traces"]) // 20  # what was committed is not stored again
    end = json.loads(run("state", environment, "slow_upload"))
    assert "200 traces, 200 scores. 1 row left out. export.jsonl, line 601" in end.pop("message")
    assert end == {
        "state": "done", "attempts": 2, "done": 200, "traces": 200, "scores": 200, "told": 200, "imports": 1,
        "uploads": 0, "counted": [200, 200, True], "sha256": hashlib.sha256(file_bytes()).hexdigest(),
    }  # fmt: skip
