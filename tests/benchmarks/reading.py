"""How long the trace list and one trace take with many traces stored: `python -m tests.benchmarks.reading`.

Makes an incident with N simulated traces (two scores each, words in the index, C changes) in the configured database,
which should be an empty one of its own, then asks the pages through Django's test client. Prints the median of each.
"""

import argparse
import json
import os
import random
import resource
import statistics
import time
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")

WORDS = [
    "refund",
    "parcel",
    "order",
    "login",
    "invoice",
    "export",
    "audit",
    "search",
    "limit",
    "plan",
    "answer",
    "article",
    "policy",
    "return",
    "label",
]
CHUNK = 20_000
TRACE_COLUMNS = (
    "id", "incident_id", "evidence_import_id", "external_id", "name", "timestamp", "environment", "session_id",
    "user_id", "latency_seconds", "time_to_first_token_seconds", "cost_usd", "input_tokens", "has_error", "facets",
    "input_preview", "output_preview", "is_anchor",
)  # fmt: skip
SCORE_COLUMNS = (
    "trace_id", "external_id", "observation_id", "name", "value", "text_value", "source", "timestamp",
)  # fmt: skip
NUMBER = "INC-2026-0901"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="pages whose name holds this")
    parser.add_argument("--fill", action="store_true", help="make the data and stop")
    arguments = parser.parse_args()
    django.setup()

    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext, setup_test_environment

    from postmortem.accounts.models import Person
    from postmortem.incidents.models import Incident

    setup_test_environment()
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    call_command("migrate", verbosity=0)
    if not Incident.objects.filter(number=NUMBER).exists():
        begin = time.perf_counter()
        _fill(arguments.traces, arguments.changes)
        print(f"filled in {time.perf_counter() - begin:.0f} s")
    if arguments.fill:
        return
    client = Client()
    client.force_login(Person.objects.get(email="bench@example.org"))
    incident = Incident.objects.get(number=NUMBER)
    client.get("/retirements/")  # so that the first page does not pay for the program's start
    print(f"{connection.vendor}: {arguments.traces:,} traces, {arguments.changes:,} changes")
    for name, (address, headers) in _asked(incident, arguments.traces).items():
        if arguments.only not in name:
            continue
        taken, worked = [], []
        for _ in range(arguments.rounds):
            begin, cpu = time.perf_counter(), time.process_time()
            answer = client.get(address, headers=headers)
            taken.append(time.perf_counter() - begin)
            worked.append(time.process_time() - cpu)
            assert answer.status_code == 200, (name, answer.status_code)
        with CaptureQueriesContext(connection) as queries:
            client.get(address, headers=headers)
        wall, cpu = (statistics.median(each) * 1000 for each in (taken, worked))
        print(
            f"{name:34} median {wall:5.0f} ms, cpu {cpu:5.0f}   first {taken[0] * 1000:5.0f}"
            f", cpu {worked[0] * 1000:5.0f}   {len(queries):3d} queries {len(answer.content) // 1024:5d} KB"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _asked(incident: Any, traces: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Every page that reads traces: what it is called → its address and headers."""
    by_key = incident.traces.order_by("pk")
    middle, plain, long, healthy = (
        by_key[place] for place in (traces // 2 + 5, traces * 3 // 4, traces * 3 // 4 + 1, traces // 2)
    )
    home = f"/incidents/{incident.number}/"
    base = f"{home}traces/"
    after = f"{middle.timestamp.isoformat().replace('+', '%2B')}~{middle.pk}"
    rows = {"HX-Request": "true", "HX-Target": "trace-rows"}
    more = {"HX-Request": "true", "HX-Target": "more-observations"}
    return {
        "overview": (home, {}),
        "ledger": (f"{home}changes/", {}),
        "ledger, narrowed": (f"{home}changes/?layer=prompt&q=prompt&order=exposure", {}),
        "list": (base, {}),
        "list, page in the middle": (f"{base}?after={after}", {}),
        "rows, page in the middle": (f"{base}?after={after}", rows),
        "rows, two words": (f"{base}?q=refund+parcel", rows),
        "rows, two words, middle": (f"{base}?q=refund+parcel&after={after}", rows),
        "rows, a rare word": (f"{base}?q=zebra7", rows),
        "rows, an unknown word": (f"{base}?q=giraffe", rows),
        "rows, facet": (f"{base}?f.region=eu", rows),
        "rows, rare facet": (f"{base}?f.tenant=t7", rows),
        "rows, unknown facet": (f"{base}?f.tenant=nobody", rows),
        "rows, two facets, middle": (f"{base}?f.region=eu&f.segment=pro&after={after}", rows),
        "rows, score range": (f"{base}?score=grounded&highest=0.5", rows),
        "rows, score nobody has": (f"{base}?score=grounded&highest=-1", rows),
        "rows, word, facet and score": (f"{base}?q=refund&f.region=eu&score=grounded&highest=0.5", rows),
        "rows, errors": (f"{base}?errors_only=on", rows),
        "rows, labelled as failing": (f"{base}?label=fail", rows),
        "rows, slowest": (f"{base}?order=slowest", rows),
        "rows, slowest of a facet": (f"{base}?order=slowest&f.tenant=t7", rows),
        "one trace": (f"{base}{plain.pk}/", {}),
        "one trace of 2,000 observations": (f"{base}{long.pk}/", {}),
        "its last observations": (f"{base}{long.pk}/?from=1800", more),
        "side by side, 2,000 observations": (f"{base}{long.pk}/compare/?with={healthy.pk}", {}),
        "next to label": (f"{home}label/", {}),
        "what moved": (f"{home}symptoms/", {}),
        "facets": (f"{home}facets/", {}),
        "evidence": (f"{home}evidence/", {}),
        "attribution": (f"{home}attribution/", {}),
        "review": (f"{home}review/", {}),
        "one layer's review": (f"{home}review/prompt/", {}),
        "report": (f"{home}report/", {}),
    }


def _fill(traces: int, changes: int) -> None:
    from postmortem.accounts.models import Role
    from postmortem.lib.clock import parse_moment
    from postmortem.traces.models import EvidenceImport
    from postmortem.traces.stored_columns import build_columns
    from tests.builders import make_change, make_incident, make_person

    start = parse_moment("2026-03-01T00:00:00Z")
    person = make_person("Ben Bench", Role.ADMINISTRATOR, email="bench@example.org")
    windows = {
        "baseline_start": start, "baseline_end": start + timedelta(days=10),
        "incident_start": start + timedelta(days=10), "incident_end": start + timedelta(days=14),
    }  # fmt: skip
    incident = make_incident(NUMBER, by=person, signal="grounded", **windows)
    source = EvidenceImport.objects.create(
        incident=incident, kind="file", origin="simulated", imported_by=person, finished=True, trace_count=traces,
        score_count=2 * traces,
    )  # fmt: skip
    for place in range(changes):
        at = start + timedelta(seconds=14 * 86_400 * place / changes)
        make_change(f"change-{place}", feature=incident.feature, at=at, until=at, **_log_entry(place, changes))
    chance = random.Random(1)
    for first in range(0, traces, CHUNK):
        rows, scores, words = [], [], []
        for place in range(first, min(first + CHUNK, traces)):
            at = start + timedelta(seconds=14 * 86_400 * place / traces)
            said = " ".join(chance.choices(WORDS, k=8)) + (" zebra7" if place % 9973 == 0 else "")
            facets = {
                "prompt": "answer", "prompt_version": str(place * 40 // traces), "region": chance.choice(["eu", "us"]),
                "tenant": f"t{place % 2000}", "segment": chance.choice(["pro", "free"]),
            }  # fmt: skip
            key = place + 1
            rows.append((
                key, incident.pk, source.pk, f"trace-{place:07d}", "answer", at, "", "", "", chance.random() * 4, None,
                None, None, False, json.dumps(facets), said, said[::-1], False,
            ))  # fmt: skip
            for name in ("grounded", "helpful"):
                scores.append((key, name, "", name, float(chance.random() < 0.9), "", "", at))
            words.append((key, " ".join(dict.fromkeys(said.split())), "{}"))
        insert("traces_trace", TRACE_COLUMNS, rows)
        insert("traces_score", SCORE_COLUMNS, scores)
        insert("traces_tracetext", ("trace_id", "text", "kinds"), words)
    _fill_readable(incident, traces)
    begin = time.perf_counter()
    build_columns(incident.pk)  # as an import does
    print(f"columns of the traces: {time.perf_counter() - begin:.0f} s")
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            for table in ("trace", "score"):
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('traces_{table}', 'id'), "
                    f"(SELECT max(id) FROM traces_{table}))"
                )


def _log_entry(place: int, changes: int) -> dict[str, Any]:
    """Every 25th entry is a prompt version that the traces show; the others touch a region, a segment or a tenant."""
    if place % 25 == 0:
        version = place * 40 // changes
        return {"facet": "prompt_version", "from_version": str(max(version - 1, 0)), "to_version": str(version)}
    scope = ({}, {"region": ["eu"]}, {"segment": ["pro"]}, {"tenant": [f"t{place}"]})[place % 4]
    return {"scope": scope}


def insert(table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """The fastest way in of either database."""
    from django.db import connection

    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            written = [
                tuple(value.strftime("%Y-%m-%d %H:%M:%S.%f") if hasattr(value, "strftime") else value for value in row)
                for row in rows
            ]
            with transaction_of(connection):
                cursor.connection.executemany(
                    f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", written
                )


def transaction_of(connection: Any) -> Any:
    from django.db import transaction

    return transaction.atomic(using=connection.alias)


def _fill_readable(incident: Any, traces: int) -> None:
    """Bytes for the middle trace (few steps), for the one behind it (2,000), and for a healthy one before the onset."""
    from postmortem.traces.models import TraceBlob
    from postmortem.traces.services import store_blob

    found = incident.traces.order_by("pk")
    plain = found[traces * 3 // 4]
    row = {"id": plain.external_id, "timestamp": plain.timestamp.isoformat(), "facets": {}, "input": "Where is it?"}
    TraceBlob.objects.create(trace=plain, blob=store_blob(json.dumps(row).encode()))
    for place in (traces * 3 // 4 + 1, traces // 2):
        TraceBlob.objects.create(trace=found[place], blob=store_blob(_observations(found[place])))


def _observations(trace: Any, count: int = 2000) -> bytes:
    """An agent that went round a loop: a tree of `count` observations as the v1 download of a trace holds them."""
    begin = trace.timestamp
    rows = []
    for place in range(count):
        at = begin + timedelta(milliseconds=20 * place)
        end = begin + timedelta(milliseconds=20 * count) if place == 0 else at + timedelta(milliseconds=18)
        parent = None if place == 0 else f"o{place - place % 10 if place % 10 else 0}"
        rows.append({
            "id": f"o{place}", "traceId": trace.external_id, "parentObservationId": parent,
            "type": "GENERATION" if place % 10 == 3 else "SPAN", "name": f"step {place % 10}",
            "startTime": at.isoformat(), "endTime": end.isoformat(),
            "level": "ERROR" if place % 500 == 499 else "DEFAULT",
            "input": {"messages": [{"role": "user", "content": f"Where is parcel {place}? " * 20}]},
            "output": f"It is in depot {place}. " * 20, "model": "luma-4" if place % 10 == 3 else None,
        })  # fmt: skip
    told = {
        "id": trace.external_id, "timestamp": begin.isoformat(), "name": "answer", "input": "Where is my parcel?",
        "output": "In the depot.", "observations": rows,
    }  # fmt: skip
    return json.dumps(told).encode()


if __name__ == "__main__":
    main()
