"""How long the trace list and one trace take with many traces stored: `python -m tests.benchmarks.reading`.

Makes an incident with N simulated traces (two scores each, words in the index, C changes) in the configured database,
which should be an empty one of its own, then asks the pages through Django's test client. Prints the median of each.
"""

import argparse
import json
import os
import random
import statistics
import time
from datetime import timedelta

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    django.setup()

    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client
    from django.test.utils import setup_test_environment

    from postmortem.accounts.models import Person
    from postmortem.incidents.models import Incident

    setup_test_environment()
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = settings.STORAGES | {"staticfiles": plain}
    call_command("migrate", verbosity=0)
    if not Incident.objects.filter(number="INC-2026-0901").exists():
        begin = time.perf_counter()
        _fill(arguments.traces, arguments.changes)
        print(f"filled in {time.perf_counter() - begin:.0f} s")
    client = Client()
    client.force_login(Person.objects.get(email="bench@example.org"))
    incident = Incident.objects.get(number="INC-2026-0901")
    middle = incident.traces.order_by("pk")[arguments.traces // 2]
    base = f"/incidents/{incident.number}/traces/"
    after = f"{middle.timestamp.isoformat().replace('+', '%2B')}~{middle.pk}"
    rows = {"HX-Request": "true", "HX-Target": "trace-rows"}
    asked = {
        "list": (base, {}),
        "list, page in the middle": (f"{base}?after={after}", {}),
        "rows, page in the middle": (f"{base}?after={after}", rows),
        "rows, two words": (f"{base}?q=refund+parcel", rows),
        "rows, a rare word": (f"{base}?q=zebra7", rows),
        "rows, facet": (f"{base}?f.region=eu", rows),
        "rows, rare facet": (f"{base}?f.tenant=t7", rows),
        "rows, score range": (f"{base}?score=grounded&highest=0.5", rows),
        "rows, slowest": (f"{base}?order=slowest", rows),
        "one trace": (f"{base}{middle.pk}/", {}),
        "next to label": (f"/incidents/{incident.number}/label/", {}),
    }
    for name, (address, headers) in asked.items():
        taken = []
        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            answer = client.get(address, headers=headers)
            taken.append(time.perf_counter() - begin)
            assert answer.status_code == 200, (name, answer.status_code)
        print(f"{name:28} median {statistics.median(taken) * 1000:7.0f} ms   first {taken[0] * 1000:7.0f} ms")


def _fill(traces: int, changes: int) -> None:
    from postmortem.accounts.models import Role
    from postmortem.lib.clock import parse_moment
    from postmortem.traces.models import EvidenceImport, Score, Trace, TraceBlob, TraceText
    from postmortem.traces.services import store_blob
    from tests.builders import make_change, make_incident, make_person

    start = parse_moment("2026-03-01T00:00:00Z")
    person = make_person("Ben Bench", Role.ADMINISTRATOR, email="bench@example.org")
    windows = {
        "baseline_start": start, "baseline_end": start + timedelta(days=10),
        "incident_start": start + timedelta(days=10), "incident_end": start + timedelta(days=14),
    }  # fmt: skip
    incident = make_incident("INC-2026-0901", by=person, signal="grounded", **windows)
    source = EvidenceImport.objects.create(
        incident=incident, kind="file", origin="simulated", imported_by=person, finished=True, trace_count=traces,
        score_count=2 * traces,
    )  # fmt: skip
    for place in range(changes):
        at = start + timedelta(seconds=14 * 86_400 * place / changes)
        make_change(f"change-{place}", feature=incident.feature, at=at, until=at)
    chance = random.Random(1)
    last = Trace.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    for first in range(0, traces, CHUNK):
        rows, scores, words = [], [], []
        for place in range(first, min(first + CHUNK, traces)):
            key = last + 1 + place
            at = start + timedelta(seconds=14 * 86_400 * place / traces)
            said = " ".join(chance.choices(WORDS, k=8)) + (" zebra7" if place % 9973 == 0 else "")
            facets = {
                "prompt": "answer", "prompt_version": str(place * 40 // traces), "region": chance.choice(["eu", "us"]),
                "tenant": f"t{place % 2000}", "segment": chance.choice(["pro", "free"]),
            }  # fmt: skip
            rows.append(
                Trace(
                    pk=key, incident=incident, evidence_import=source, external_id=f"trace-{place:07d}", name="answer",
                    timestamp=at, facets=facets, latency_seconds=chance.random() * 4, input_preview=said,
                    output_preview=said[::-1],
                )
            )  # fmt: skip
            for name in ("grounded", "helpful"):
                value = float(chance.random() < 0.9)
                scores.append(Score(trace_id=key, external_id=name, name=name, value=value, timestamp=at))
            words.append(TraceText(trace_id=key, text=" ".join(dict.fromkeys(said.split()))))
        Trace.objects.bulk_create(rows, batch_size=1000)
        Score.objects.bulk_create(scores, batch_size=1000)
        TraceText.objects.bulk_create(words, batch_size=1000)
    middle = incident.traces.order_by("pk")[traces // 2]
    row = {"id": middle.external_id, "timestamp": middle.timestamp.isoformat(), "facets": {}, "input": "Where is it?"}
    TraceBlob.objects.create(trace=middle, blob=store_blob(json.dumps(row).encode()))


if __name__ == "__main__":
    main()
