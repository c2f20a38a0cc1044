"""Change logs in the database: once, whole, by those who may, and readable as they were."""

import gzip
import json

import pytest
from django.core.exceptions import PermissionDenied

from postmortem.accounts.models import AuditEntry, Role
from postmortem.changes.log_files import parse_changes
from postmortem.changes.models import Change
from postmortem.changes.parse import read_change
from postmortem.changes.services import add_change, delete_change, import_changes, store_records
from postmortem.changes.stored import record_of
from postmortem.incidents.models import Status
from postmortem.lib.errors import UserError
from postmortem.traces.models import EvidenceBlob
from postmortem.traces.services import read_blob
from tests.builders import make_feature, make_incident, make_person

pytestmark = pytest.mark.django_db

LINES = [
    {"id": "prompt-1", "layer": "prompt", "at": "2026-03-09T09:20:00Z", "scope": {"prompt": "answer"},
     "facet": "prompt_version", "from_version": "1", "to_version": "2"},
    {"id": "infra-1", "layer": "infrastructure", "at": "2026-03-09T10:00:00Z", "until": "2026-03-09T12:00:00Z",
     "rollout": "staged", "stages": {"facet": "region", "order": ["us", "eu"]}},
]  # fmt: skip


def jsonl(*lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


LOG = jsonl(*LINES)


@pytest.fixture
def reviewer():
    return make_person("Priya Nair")


def bring_in(data, by, filename="changes.jsonl", **fields):
    return import_changes(feature=make_feature(), by=by, filename=filename, data=data, **fields)


def test_every_line_becomes_a_change_with_its_bytes(reviewer):
    outcome = bring_in(LOG, reviewer)
    assert (outcome.added, outcome.unchanged, outcome.conflicting) == (2, 0, [])
    change = Change.objects.get(external_id="prompt-1")
    assert change.added_by == reviewer
    assert change.origin == "changes.jsonl"
    assert read_blob(change.raw) == LOG


def test_a_stored_change_reads_back_as_it_was_written(reviewer):
    bring_in(LOG, reviewer)
    stored = {change.external_id: record_of(change) for change in Change.objects.all()}
    assert stored == {parsed.record.id: parsed.record for parsed in parse_changes(LOG, "changes.jsonl")}


def test_imported_twice_nothing_doubles(reviewer):
    bring_in(LOG, reviewer)
    outcome = bring_in(LOG, reviewer)
    assert (outcome.added, outcome.unchanged) == (0, 2)
    assert Change.objects.count() == 2
    assert AuditEntry.objects.filter(action="changes.import").count() == 1


def test_the_same_changes_as_csv_are_no_news(reviewer):
    bring_in(jsonl(LINES[0]), reviewer)
    header = "id,layer,at,scope,facet,from_version,to_version"
    row = "prompt-1,prompt,2026-03-09T09:20:00Z,prompt=answer,prompt_version,1,2"
    outcome = bring_in(f"{header}\n{row}\n".encode(), reviewer, filename="changes.csv")
    assert (outcome.added, outcome.unchanged) == (0, 1)


def test_gzipped_logs_are_read_too(reviewer):
    assert bring_in(gzip.compress(LOG), reviewer, filename="changes.jsonl.gz").added == 2
    assert bring_in(LOG, reviewer, filename="changes.jsonl.gz").unchanged == 2  # some browsers unpack what they save


def test_other_content_under_a_known_id_is_reported_and_the_first_stays(reviewer):
    bring_in(LOG, reviewer)
    outcome = bring_in(jsonl(LINES[0] | {"to_version": "3"}, LINES[1]), reviewer)
    assert (outcome.added, outcome.unchanged, outcome.conflicting) == (0, 1, ["prompt-1"])
    assert Change.objects.get(external_id="prompt-1").to_version == "2"


def test_the_same_id_in_another_feature_is_another_change(reviewer):
    bring_in(LOG, reviewer)
    other = make_feature("Search")
    assert import_changes(feature=other, by=reviewer, filename="c.jsonl", data=LOG).added == 2


def test_one_bad_line_leaves_the_database_as_it_was(reviewer):
    with pytest.raises(UserError, match=r"line 3: "):
        bring_in(LOG + b'{"id": "x"}\n', reviewer)
    assert (Change.objects.count(), EvidenceBlob.objects.count(), AuditEntry.objects.count()) == (0, 0, 0)


def test_a_viewer_may_not_import():
    with pytest.raises(PermissionDenied):
        bring_in(LOG, make_person("Vera", Role.VIEWER))
    assert not Change.objects.exists()


def test_the_ledger_of_a_published_incident_is_frozen(reviewer):
    incident = make_incident(by=reviewer, status=Status.PUBLISHED)
    with pytest.raises(UserError, match="is published"):
        bring_in(LOG, reviewer, incident=incident)


def test_an_incident_of_another_feature_is_refused(reviewer):
    with pytest.raises(UserError, match="another feature"):
        bring_in(LOG, reviewer, incident=make_incident(by=reviewer, feature=make_feature("Search")))


def test_queries_do_not_grow_with_the_file(reviewer, django_assert_max_num_queries):
    lines = [LINES[0] | {"id": f"p{number}"} for number in range(400)]
    with django_assert_max_num_queries(24):
        assert bring_in(jsonl(*lines), reviewer).added == 400


class TestByHand:
    record = read_change(LINES[0] | {"id": "hand-1"})

    def test_add_and_take_back(self, reviewer):
        change = add_change(feature=make_feature(), by=reviewer, record=self.record)
        assert (change.source, change.external_id) == (Change.Source.HAND, "hand-1")
        delete_change(change=change, by=reviewer)
        assert not Change.objects.exists()

    def test_the_same_entry_twice_is_one_change(self, reviewer):
        first = add_change(feature=make_feature(), by=reviewer, record=self.record)
        assert add_change(feature=make_feature(), by=reviewer, record=self.record) == first

    def test_an_id_that_is_taken(self, reviewer):
        bring_in(jsonl(LINES[0] | {"id": "hand-1", "to_version": "7"}), reviewer)
        with pytest.raises(UserError, match="belongs to another change"):
            add_change(feature=make_feature(), by=reviewer, record=self.record)

    def test_an_imported_change_cannot_be_deleted(self, reviewer):
        bring_in(LOG, reviewer)
        with pytest.raises(UserError, match="Only changes typed by hand"):
            delete_change(change=Change.objects.first(), by=reviewer)

    def test_a_record_that_the_format_would_refuse(self, reviewer):
        with pytest.raises(UserError, match="longer than 300"):
            add_change(
                feature=make_feature(), by=reviewer, record=read_change(LINES[0]).__class__(
                    id="x", layer=self.record.layer, at=self.record.at, until=self.record.until, summary="x" * 301,
                ),
            )  # fmt: skip


def test_records_from_elsewhere_keep_their_own_bytes(reviewer):
    records = [read_change(line) for line in LINES]
    raw = [(b"first", "application/json"), (b"second", "application/json")]
    store_records(
        feature=make_feature(), by=reviewer, records=records, source=Change.Source.LANGFUSE, origin="Cloud", raw=raw
    )
    assert [read_blob(change.raw) for change in Change.objects.order_by("at")] == [b"first", b"second"]
