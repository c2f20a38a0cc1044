"""Cells of stored traces equal the cells of the same traces as records."""

import numpy as np
import pytest

from postmortem.accounts.models import Role
from postmortem.traces.cells import Cells, cells_of_records, cells_of_traces
from postmortem.traces.models import Score, Trace
from postmortem.traces.selectors import trace_records
from postmortem.traces.services import import_file
from postmortem.traces.stored_cells import signal_cells, trace_cells
from tests.attribution.test_findings import _traces
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    made = make_incident()
    by = make_person("Priya Nair", Role.REVIEWER)
    import_file(incident=made, by=by, filename="traces.jsonl.gz", data=_traces())
    return made


def facts(cells: Cells) -> list[tuple]:
    return [
        (sorted(cells.profiles[profile].items()), round(second, 3), int(count), total, squares)
        for profile, second, count, total, squares in zip(
            cells.profile, cells.seconds, cells.count, cells.total, cells.total_squares, strict=True
        )
    ]


def test_scores_latency_and_errors_are_what_the_records_say(incident):
    Trace.objects.filter(pk__in=list(Trace.objects.values_list("pk", flat=True)[:20])).update(
        latency_seconds=1.5, has_error=True
    )
    records = trace_records(incident)
    for signal in ("success", "latency", "error", "unknown"):
        assert facts(signal_cells(incident, signal)) == facts(cells_of_records(records, signal, bin_seconds=0))


def test_a_score_on_the_trace_goes_before_one_on_an_observation(incident):
    trace = Trace.objects.first()
    Score.objects.create(trace=trace, external_id="o", name="success", value=0.25, observation_id="span")
    Score.objects.create(trace=trace, external_id="z", name="success", value=0.75, timestamp=trace.timestamp)
    records = trace_records(incident)
    assert facts(signal_cells(incident, "success")) == facts(cells_of_records(records, "success", bin_seconds=0))
    assert 0.75 in signal_cells(incident, "success").total


def test_the_join_reads_every_trace_in_a_few_queries(incident, django_assert_max_num_queries):
    with django_assert_max_num_queries(4):
        cells = trace_cells(incident)
    assert facts(cells) == facts(cells_of_traces(trace_records(incident)))
    with django_assert_max_num_queries(1):
        trace_cells(incident)


def test_new_evidence_is_seen(incident):
    before = trace_cells(incident).trace_count
    by = make_person("Anna Other", Role.REVIEWER)
    row = b'{"id": "late", "timestamp": "2026-03-05T10:00:00Z", "facets": {"region": "eu"}, "scores": {"success": 1}}'
    import_file(incident=incident, by=by, filename="more.jsonl", data=row)
    assert trace_cells(incident).trace_count == before + 1


def test_each_nth_trace_can_be_read(incident):
    whole = {record.external_id for record in trace_records(incident)}
    third = {record.external_id for record in trace_records(incident, every=3)}
    assert third < whole
    assert abs(len(third) - len(whole) / 3) <= 1
    assert np.isclose(len(third), len(whole) / 3, atol=1)
