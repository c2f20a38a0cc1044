"""Stored columns say what the rows say, whatever is written later."""

import json

import numpy as np
import pytest

from postmortem.accounts.models import Role
from postmortem.traces import stored_columns
from postmortem.traces.cells import cells_of_records, cells_of_traces
from postmortem.traces.counts import column_counts, evidence_state
from postmortem.traces.finding import TraceFilter, find_traces
from postmortem.traces.labels import label_trace
from postmortem.traces.models import ColumnData, ColumnSegment, EvidenceImport, Score, Trace
from postmortem.traces.own_facets import add_rule
from postmortem.traces.reread import read_next_blob
from postmortem.traces.selectors import evidence_counts, facet_coverage, signals, trace_records
from postmortem.traces.services import import_file
from postmortem.traces.stored_cells import signal_cells, signal_column, trace_cells
from postmortem.traces.stored_columns import (
    LAST_KEY,
    build_columns,
    build_next_columns,
    forget_columns,
    read_parts,
    spans,
)
from tests.builders import make_incident, make_person, make_trace
from tests.traces.test_stored_cells import facts

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch):
    monkeypatch.setattr(stored_columns, "SEGMENT_ROWS", 10)


@pytest.fixture
def by():
    return make_person("Priya Nair", Role.FACILITATOR)


def upload(incident, by, numbers, **scores):
    rows = (
        {
            "id": f"t{n}", "timestamp": f"2026-03-05T10:{n % 60:02d}:00Z", "latency": n / 10,
            "facets": {"region": "eu" if n % 3 else "us"}, "scores": {"quality": n % 7, **scores},
            "metadata": {"plan": f"p{n % 2}"},
        }
        for n in numbers
    )  # fmt: skip
    data = "\n".join(json.dumps(row) for row in rows).encode()
    return import_file(incident=incident, by=by, filename="t.jsonl", data=data)


@pytest.fixture
def incident(by):
    made = make_incident()
    upload(made, by, range(25))
    return made


def same_as_rows(incident):
    records = trace_records(incident)
    assert facts(trace_cells(incident)) == facts(cells_of_traces(records))
    for signal in ("quality", "latency", "helpful", "error"):
        assert facts(signal_cells(incident, signal)) == facts(cells_of_records(records, signal, bin_seconds=0))
    counts = evidence_counts(incident)
    scores = Score.objects.filter(trace__incident=incident).exclude(external_id="postmortem:label").count()
    assert (counts.traces, counts.scores) == (len(records), scores)
    assert (counts.first_at, counts.last_at) == (records[0].timestamp, records[-1].timestamp)


def test_whole_segments_are_stored_and_the_rest_is_read_from_rows(incident):
    assert [span.segment is None for span in spans(incident.pk)] == [False, False, True]
    assert sum(segment.summary["traces"] for segment in ColumnSegment.objects.all()) == 20
    same_as_rows(incident)
    assert {choice.name: choice.count for choice in signals(incident)} == {"quality": 25, "latency": 25}


def test_new_traces_follow_behind(incident, by):
    first = list(ColumnSegment.objects.values_list("pk", flat=True))
    upload(incident, by, range(25, 33))
    assert set(first) < set(ColumnSegment.objects.values_list("pk", flat=True))
    same_as_rows(incident)


def test_a_score_that_comes_late_is_in_the_columns(incident, by):
    same_as_rows(incident)
    upload(incident, by, [3, 14], helpful=1)
    same_as_rows(incident)
    assert len(find_traces(incident, TraceFilter(score="helpful", lowest=1.0))) == 2
    assert column_counts(evidence_state(incident)).scores["helpful"] == (2, 2)


def test_facets_of_the_house_are_in_the_columns(incident):
    same_as_rows(incident)
    add_rule(by=make_person("Ada Min", Role.ADMINISTRATOR), name="plan", path="metadata.plan")
    while read_next_blob():
        pass
    same_as_rows(incident)
    coverage = {facet.name: facet for facet in facet_coverage(incident)}
    assert coverage["plan"].values == [("p0", 13), ("p1", 12)]


def test_traces_of_two_incidents_are_kept_apart(by):
    one, other = make_incident(), make_incident("INC-2026-0009")
    for place in range(30):  # their keys alternate
        for each in (one, other):
            made = make_trace(each, f"t{place}", facets={"of": each.number})
            Score.objects.create(trace=made, external_id="q", name="quality", value=float(each.pk))
    for each in (one, other):
        build_columns(each.pk)
        same_as_rows(each)
        assert set(signal_column(each, "quality")) == {float(each.pk)}


def test_what_is_written_while_a_segment_is_built_is_not_lost(incident, monkeypatch):
    ColumnSegment.objects.all().delete()
    trace = Trace.objects.order_by("pk")[4]
    read = stored_columns._read

    def read_then_write(*arguments, **options):
        found = read(*arguments, **options)
        if trace.scores.filter(name="helpful").exists():
            return found
        Score.objects.create(trace=trace, external_id="h", name="helpful", value=1.0)
        EvidenceImport.objects.update(written_at=trace.timestamp)
        forget_columns(incident.pk, [trace.pk])
        return found

    monkeypatch.setattr(stored_columns, "_read", read_then_write)
    build_columns(incident.pk)
    assert ColumnSegment.objects.count() == 1 and ColumnSegment.objects.get().low > trace.pk
    same_as_rows(incident)  # builds it again
    assert ColumnSegment.objects.filter(built=True).count() == 2
    assert ColumnData.objects.filter(name="score:helpful").count() == 1


def test_an_idle_worker_builds_what_no_import_built(incident, by):
    assert not build_next_columns()
    ColumnSegment.objects.all().delete()
    upload(make_incident("INC-2026-0009"), by, range(3))  # too few for a segment
    assert build_next_columns() and not build_next_columns()
    assert ColumnSegment.objects.filter(incident=incident, built=True).count() == 2


def test_who_builds_reads_scores_from_what_is_built(incident):
    ColumnSegment.objects.all().delete()
    parts = read_parts(incident.pk, ("traces", "facets"))
    assert [part.segment is not None for part in parts] == [True, True, False]
    assert {part.segment for part in parts[:2]} == set(ColumnSegment.objects.values_list("pk", flat=True))


def test_a_builder_that_died_is_followed_by_another(incident):
    ColumnSegment.objects.all().delete()
    begun = ColumnSegment.objects.create(incident=incident, low=0, high=LAST_KEY)
    same_as_rows(incident)
    assert not ColumnSegment.objects.filter(low=0, built=True).exists()
    ColumnSegment.objects.filter(pk=begun.pk).update(begun_at="2026-01-01T00:00:00Z")
    build_columns(incident.pk)
    assert ColumnSegment.objects.filter(low=0, built=True).exists()
    same_as_rows(incident)


def test_labels_are_no_part_of_them(incident, by):
    build_columns(incident.pk)
    segments = set(ColumnSegment.objects.values_list("pk", flat=True))
    trace = Trace.objects.order_by("pk")[2]
    label_trace(trace=trace, by=by, value="fail")
    assert set(ColumnSegment.objects.values_list("pk", flat=True)) == segments
    values = signal_column(incident, "label")
    assert np.flatnonzero(np.isfinite(values)).tolist() == [2] and values[2] == 1.0
    assert [row.pk for row in find_traces(incident, TraceFilter(label="fail"))] == [trace.pk]
    assert len(find_traces(incident, TraceFilter(label="none"))) == 24


def test_queries_are_as_many_for_many_segments(incident, by, django_assert_max_num_queries):
    upload(incident, by, range(25, 90))
    for _ in range(2):
        with django_assert_max_num_queries(9):
            page = find_traces(incident, TraceFilter(facets={"region": "eu"}, score="quality", lowest=2)).page(size=5)
            assert len(page.rows) == 5 and page.after
    with django_assert_max_num_queries(4):
        evidence_counts(incident)
