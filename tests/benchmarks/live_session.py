"""Thirty reviewers on one incident, two server processes: is a word lost, and how soon do others see it?

    python -m tests.benchmarks.live_session [--seconds 300] [--reviewers 30] [--one-text]

Uses DATABASE_URL if it is set (`tools/postgres.py -- python -m tests.benchmarks.live_session` for PostgreSQL),
else a SQLite file in a temporary folder. Half of the reviewers are on each process; each has its page's stream open
and adds a line to the note of one question every two seconds; two to four reviewers share each note, or with
--one-text all of them write into one. Prints lost lines, errors, how long a save took, and the time from a save to
its arrival on the other process.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from os.path import commonprefix
from pathlib import Path
from typing import Any

import httpx

from postmortem.lib.layers import LAYERS
from postmortem.review.checklist import load_checklist

ROOT = Path(__file__).resolve().parent.parent.parent
PASS_PHRASE = "a long pass phrase"
NUMBER = "INC-2026-0001"
EVERY_SECONDS = 2.0
LONG = 1_000  # characters from which on the page sends what changed
QUESTIONS = [question.id for question in load_checklist().sections[LAYERS[0]]]


class Reviewer:
    """Signs in, listens, writes, and remembers when it saw whose line."""

    def __init__(self, number: int, base: str, *, one_text: bool) -> None:
        self.number, self.base = number, base
        self.client = httpx.Client(base_url=base, timeout=30)
        question = QUESTIONS[0 if one_text else number // 2 % len(QUESTIONS)]
        self.key, self.text = f"note.{question}", ""
        self.took: list[float] = []
        self.sent: dict[str, float] = {}
        self.errors: list[str] = []
        self.seen: dict[str, float] = {}
        self.stopping = False

    def sign_in(self) -> None:
        """A session and its CSRF token, as a browser gets them."""
        self.client.get("/sign-in/")
        token = self.client.cookies["csrftoken"]
        answer = self.client.post(
            "/sign-in/",
            data={
                "username": f"reviewer{self.number}@example.org",
                "password": PASS_PHRASE,
                "csrfmiddlewaretoken": token,
            },
        )
        if answer.status_code != 302:
            raise SystemExit(f"Reviewer {self.number} could not sign in: {answer.status_code}")

    def listen(self) -> None:
        """Note the moment at which each line was first seen."""
        kind, last = "", {}
        try:
            with self.client.stream("GET", f"/incidents/{NUMBER}/live/stream/", timeout=60) as answer:
                if answer.status_code != 200:
                    self.errors.append(f"stream {answer.status_code}")
                for line in answer.iter_lines():
                    if self.stopping:
                        return
                    if line.startswith("event: "):
                        kind = line[7:]
                    elif line.startswith("data: ") and kind == "text":
                        data = json.loads(line[6:])
                        if "put" in data:
                            old = last[data["key"]]
                            data["text"] = old[: data["head"]] + data["put"] + old[len(old) - data["tail"] :]
                        now = time.monotonic()
                        # Only what is new is looked at: thirty readers of a long text share this one process.
                        before = last.get(data["key"], "")
                        last[data["key"]] = data["text"]
                        at = commonprefix([before, data["text"]]).rfind("\n") + 1  # noqa: RUF071
                        for one in data["text"][at:].splitlines():
                            self.seen.setdefault(one, now)
        except httpx.HTTPError as error:
            if not self.stopping:
                self.errors.append(f"stream {error!r}")

    def fields(self, line: str) -> dict[str, str]:
        """What a page sends: a long text as what changed in it."""
        fields = {"key": self.key, "base": self.text}
        if len(self.text) < LONG:
            return fields | {"text": f"{self.text}{line}\n"}
        return fields | {"head": str(len(self.text)), "tail": "0", "put": f"{line}\n"}

    def take(self, sent: str, said: dict[str, Any]) -> None:
        """The stored text of an answer, which may tell only how it differs from the sent one."""
        patched = "text" not in said
        self.text = sent[: said["head"]] + said["put"] + sent[len(sent) - said["tail"] :] if patched else said["text"]

    def write(self, seconds: float) -> None:
        """Save a line every two seconds, always from the text that this reviewer last saw."""
        time.sleep(random.random() * EVERY_SECONDS)
        until = time.monotonic() + seconds
        count = 0
        token = self.client.cookies["csrftoken"]
        while time.monotonic() < until:
            began = time.monotonic()
            count += 1
            line = f"reviewer {self.number} line {count}"
            self.sent[line] = began
            try:
                answer = self.client.post(
                    f"/incidents/{NUMBER}/live/text/",
                    data=self.fields(line),
                    headers={"x-csrftoken": token, "referer": self.base},
                )
                if answer.status_code == 200:
                    self.take(f"{self.text}{line}\n", answer.json())
                    self.took.append(time.monotonic() - began)
                else:
                    self.errors.append(f"save {answer.status_code} {answer.text[:80]}")
            except httpx.HTTPError as error:
                self.errors.append(f"save {error!r}")
            time.sleep(max(0.0, EVERY_SECONDS - (time.monotonic() - began)))


def main() -> None:
    """Start two servers, let the reviewers write, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--reviewers", type=int, default=30)
    parser.add_argument("--one-text", action="store_true", help="all of them write into one note")
    parser.add_argument("--port", type=int, default=8711, help="of the first server; the second has the next")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "POSTMORTEM_DATA_DIR": folder}
        _prepare(environment, options.reviewers)
        ports = (options.port, options.port + 1)
        servers = [_serve(environment, port) for port in ports]
        try:
            people = [
                Reviewer(number, f"http://127.0.0.1:{ports[number % 2]}", one_text=options.one_text)
                for number in range(options.reviewers)
            ]
            for base in {one.base for one in people}:
                _wait(base)
            for one in people:
                one.sign_in()
            _run(people, options.seconds)
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait(10)


def _run(people: list[Reviewer], seconds: float) -> None:
    listeners = [threading.Thread(target=one.listen, daemon=True) for one in people]
    for thread in listeners:
        thread.start()
    time.sleep(2)
    writers = [threading.Thread(target=one.write, args=(seconds,)) for one in people]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    time.sleep(3)
    texts = people[0].client.get(f"/incidents/{NUMBER}/live/state/").json()["texts"]
    final = [line for one in texts for line in one["text"].splitlines()]
    sent = {line: (one, at) for one in people for line, at in one.sent.items()}
    lost = sorted(set(sent) - set(final))
    doubled = len(final) - len(set(final))
    delays = sorted(
        other.seen[line] - at
        for line, (writer, at) in sent.items()
        for other in people
        if other.base != writer.base and line in other.seen
    )
    unseen = sum(
        line not in other.seen for line, (writer, _) in sent.items() for other in people if other.base != writer.base
    )
    for one in people:
        one.stopping = True
    errors = [error for one in people for error in one.errors]
    print(
        f"{len(sent)} saves by {len(people)} reviewers on 2 processes in {seconds:.0f} s: {len(lost)} lost, "
        f"{doubled} doubled, {len(errors)} errors{': ' + errors[0] if errors else ''}"
    )
    took = sorted(second for one in people for second in one.took)
    print(
        f"A save took {statistics.median(took):.2f} s (median), {took[int(len(took) * 0.95)]:.2f} s (95th percentile); "
        f"the longest text has {max(len(one['text']) for one in texts):,} characters"
    )
    print(
        f"Seen on the other process after {statistics.median(delays):.2f} s (median), "
        f"{delays[int(len(delays) * 0.95)]:.2f} s (95th percentile), {delays[-1]:.2f} s (last); {unseen} not seen"
    )


def _prepare(environment: dict[str, str], reviewers: int) -> None:
    code = (
        "from tests.builders import make_incident, make_person\n"
        "make_incident()\n"
        f"[make_person(f'Reviewer {{n}}', email=f'reviewer{{n}}@example.org') for n in range({reviewers})]\n"
    )
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    subprocess.run([*manage, "collectstatic", "--noinput", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    subprocess.run([*manage, "shell", "--verbosity", "0", "-c", code], cwd=ROOT, env=environment, check=True)


def _serve(environment: dict[str, str], port: int) -> "subprocess.Popen[bytes]":
    sys.path.insert(0, str(ROOT / "tools"))
    from serve import web_command

    return subprocess.Popen(web_command("127.0.0.1", port), cwd=ROOT, env=environment)


def _wait(base: str) -> None:
    for _ in range(100):
        try:
            httpx.get(f"{base}/sign-in/", timeout=5)
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"The server at {base} did not start.")


if __name__ == "__main__":
    main()
