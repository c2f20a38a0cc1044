"""How fast and in how much memory a file of observations comes in: `python -m tests.benchmarks.import_speed`.

Writes a JSONL export of N observations (traces of five steps and a score, their rows scattered in time as a busy
application's are), imports it in a process of its own into a new SQLite file and into a new PostgreSQL server, and
says observations per second and peak memory of each, as a worker does it, with the keeping of the file that the
request does before; then how long the words for the search take, which idle workers
read afterwards. With `--servers PYTHON`, the interpreter of an environment that holds arize-phoenix and
opentelemetry-proto (`make test-servers` makes var/servers/bin/python), a part of the same spans is sent to a Phoenix
server of its own on this machine, in batches as an exporter sends them, until it has stored all of them.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STEPS = 5
BATCH = 512  # spans of one request to Phoenix, the default of OpenTelemetry's batch processor
STEMS = """
    refund order label return policy invoice customer delivery carrier parcel please account address payment shipping
    status ticket help centre article search result answer question because would should could never always before
    after window region system prompt version context document passage chunk index model
    """.split()  # noqa: SIM905 (a list of words)
WORDS = [stem + end for stem in STEMS for end in ("", "s", "ed", "ing", "er")]


def observations(count: int) -> Iterator[dict[str, Any]]:
    """The rows of an export in order of time, scores among them."""
    rng = random.Random(7)
    waiting: list[tuple[datetime, int, dict[str, Any]]] = []
    serial = 0
    for trace in range(count // STEPS):
        base = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=2 * trace + 30 * rng.random())
        for at, row in _trace(rng, trace, base):
            serial += 1
            waiting.append((at, serial, row))
        if len(waiting) > 2_000:
            waiting.sort()
            keep = [item for item in waiting if item[0] > base - timedelta(seconds=60)]
            yield from (row for _, _, row in waiting[: len(waiting) - len(keep)])
            waiting = keep
    yield from (row for _, _, row in sorted(waiting))


def _trace(rng: random.Random, trace: int, base: datetime) -> Iterator[tuple[datetime, dict[str, Any]]]:
    identifier = f"{rng.getrandbits(128):032x}"
    short = identifier[:14]
    question, answer, found = _text(rng, 30), _text(rng, 90), _text(rng, 60)
    if trace % 50 == 0:
        question += f" please write to user{trace}@example.com"
    steps = [
        ("handle", "SPAN", question, answer, 0, 3_000), ("retrieve", "RETRIEVER", question, found, 50, 400),
        ("embed", "EMBEDDING", question, "", 60, 90),
        ("write", "GENERATION", f"{question} {found}", answer, 500, 2_500),
        ("check", "GUARDRAIL", answer, "fine", 2_600, 2_700),
    ]  # fmt: skip
    for place, (name, kind, given, gave, start, end) in enumerate(steps):
        at = base + timedelta(milliseconds=start)
        row: dict[str, Any] = {
            "id": f"{short}{place:02d}", "traceId": identifier, "projectId": "p1", "type": kind, "name": name,
            "parentObservationId": f"{short}00" if place else None, "startTime": _iso(at),
            "endTime": _iso(base + timedelta(milliseconds=end + rng.randrange(50))),
            "level": "ERROR" if rng.random() < 0.02 else "DEFAULT", "statusMessage": None, "version": None,
            "release": "4.18.2", "environment": "production", "traceName": "help-centre",
            "userId": f"u-{trace % 5_000}", "sessionId": f"s-{trace // 3}", "tags": ["segment:pro"],
            "input": given, "output": gave, "model": None,
            "metadata": {
                "index_version": "11", "region": rng.choice(["us", "eu", "apac"]), "request": f"{rng.getrandbits(64):x}"
            },
        }  # fmt: skip
        if kind == "GENERATION":
            row |= {
                "model": "atlas-chat", "modelParameters": {"temperature": 0.2}, "promptName": "answer",
                "promptVersion": 7 + trace % 2, "totalCost": 0.002,
                "usageDetails": {"input": 400 + rng.randrange(50), "output": 90, "total": 500},
                "completionStartTime": _iso(at + timedelta(milliseconds=300)),
            }  # fmt: skip
        yield at, row
    at = base + timedelta(seconds=20)
    yield at, {
        "id": f"{short}-s", "traceId": identifier, "name": "grounded", "value": round(rng.random(), 3),
        "dataType": "NUMERIC", "source": "EVAL", "timestamp": _iso(at),
    }  # fmt: skip


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def otlp(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Observations as an OTLP/JSON document in OpenInference's words."""
    spans = []
    for row in rows:
        told = {
            "openinference.span.kind": {"SPAN": "CHAIN", "GENERATION": "LLM"}.get(row["type"], row["type"]),
            "input.value": row["input"], "output.value": row["output"], "session.id": row["sessionId"],
            "user.id": row["userId"], "metadata": json.dumps(row["metadata"]), "llm.model_name": row["model"] or "",
        }  # fmt: skip
        spans.append(
            {
                "traceId": row["traceId"], "spanId": row["id"], "parentSpanId": row["parentObservationId"] or "",
                "name": row["name"], "kind": 1, "startTimeUnixNano": _nanoseconds(row["startTime"]),
                "endTimeUnixNano": _nanoseconds(row["endTime"]),
                "status": {"code": 2 if row["level"] == "ERROR" else 1},
                "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in told.items() if value],
            }
        )  # fmt: skip
    project = [{"key": "openinference.project.name", "value": {"stringValue": "bench"}}]
    return {"resourceSpans": [{"resource": {"attributes": project}, "scopeSpans": [{"spans": spans}]}]}


def _nanoseconds(text: str) -> str:
    return str(int(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000)


def measure(path: Path) -> None:
    """In a process of its own, on the configured database: import, say how it went, then read the words."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from postmortem.accounts.models import Role
    from postmortem.pipeline import background, services
    from postmortem.pipeline.models import Run
    from postmortem.traces.models import EvidenceImport
    from postmortem.traces.reread import read_next_blob
    from tests.builders import make_incident, make_person

    call_command("migrate", verbosity=0)
    incident = make_incident(by=make_person("Bench", Role.FACILITATOR))
    base = _peak()
    begin, used = time.perf_counter(), time.process_time()
    with path.open("rb") as file:
        started = services.import_uploaded(incident=incident, by=incident.created_by, filename=path.name, file=file)
    kept = time.perf_counter() - begin
    if isinstance(started, Run):
        ended = background.finish(started)
        assert ended.state == Run.State.DONE, ended.message
    done = EvidenceImport.objects.get()
    told = {
        "seconds": time.perf_counter() - begin, "cpu": time.process_time() - used, "before": base, "peak": _peak(),
        "kept": kept,
        "traces": done.trace_count, "scores": done.score_count,
    }  # fmt: skip
    begin, used = time.perf_counter(), time.process_time()
    while read_next_blob():
        pass
    told |= {"words": time.perf_counter() - begin, "words_cpu": time.process_time() - used, "words_peak": _peak()}
    print(json.dumps(told))


def _peak() -> float:
    """MB that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _import(name: str, path: Path, count: int, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.import_speed", "--measure", str(path)]
    if name == "PostgreSQL":
        command = [sys.executable, str(ROOT / "tools" / "postgres.py"), "--", *command]
    environment = {**os.environ, **environment}
    answer = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr[-3000:])
    told = json.loads(answer.stdout.splitlines()[-1])
    rate = count / told["seconds"]
    print(
        f"{name:11} {rate:9,.0f} observations/s ({told['seconds']:.1f} s, {told['cpu']:.1f} s of CPU; the request "
        f"{told['kept']:.1f} s of it), peak "
        f"{told['peak']:.0f} MB ({told['before']:.0f} before), {told['traces']:,} traces, {told['scores']:,} scores; "
        f"words {count / told['words']:,.0f}/s ({told['words']:.1f} s, {told['words_cpu']:.1f} s of CPU, peak "
        f"{told['words_peak']:.0f} MB)",
        flush=True,
    )
    return rate


def _phoenix(path: Path, count: int, folder: Path) -> float:
    from tests.servers import running

    rows = []
    with path.open() as file:
        for line in file:
            row = json.loads(line)
            if "startTime" in row:
                rows.append(row)
            if len(rows) == count:
                break
    batches = folder / "batches"
    batches.mkdir()
    for number, start in enumerate(range(0, count, BATCH)):
        (batches / f"{number:06d}.json").write_text(json.dumps(otlp(rows[start : start + BATCH])))
    with running.bare_phoenix(folder) as base:
        sender = ROOT / "tests" / "servers" / "otlp_sender.py"
        command = [str(running.servers_python()), str(sender), f"{base}/v1/traces", str(batches)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        begin = float(answer.stdout.split()[-1])  # of the first request: making protobuf does not count
        running.wait_for_spans(base, "bench", count)
        seconds = time.time() - begin
    rate = count / seconds
    print(f"{'Phoenix':11} {rate:9,.0f} observations/s ({count:,} of the same spans in {seconds:.1f} s)", flush=True)
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=200_000)
    parser.add_argument("--servers", type=Path, help="interpreter of the environment that holds Phoenix")
    parser.add_argument("--phoenix-observations", type=int, default=20_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "observations.jsonl"
        with path.open("w") as file:
            for row in observations(arguments.observations):
                file.write(json.dumps(row) + "\n")
        print(f"{arguments.observations:,} observations, {path.stat().st_size / 2**20:,.0f} MB")
        ours = []
        for database in ("SQLite", "PostgreSQL"):
            data = folder / database
            data.mkdir()
            environment = {"POSTMORTEM_DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data}/bench.sqlite3"}
            ours.append(_import(database, path, arguments.observations, environment))
        if arguments.servers:
            os.environ["SERVERS_PYTHON"] = str(arguments.servers)
            home = folder / "phoenix"
            home.mkdir()
            theirs = _phoenix(path, arguments.phoenix_observations, home)
            print(f"{min(ours) / theirs:.1f} times as fast as Phoenix, on the slower database")


if __name__ == "__main__":
    main()
