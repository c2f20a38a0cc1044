"""Corrections and merges: the log's own words stay, every step has its author and its way back."""

from dataclasses import replace

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.attribution.selectors import inputs_sha256
from postmortem.changes import corrections, selectors
from postmortem.changes.duplicates import likely_duplicates
from postmortem.changes.models import Change, ChangeRevision
from postmortem.changes.services import import_changes
from postmortem.changes.stored import record_of
from postmortem.incidents.models import Status
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.layers import Layer
from tests.api.client import Api
from tests.builders import make_change, make_feature, make_incident, make_person
from tests.changes.builders import at, change


class TestLikelyDuplicates:
    """Pure: which pairs look like one change."""

    def test_two_feeds_that_bring_one_version_are_a_pair(self):
        one = change("a", hour=10, facet="release", to_version="5.1", layer=Layer.INFRASTRUCTURE)
        other = change("b", hour=11, facet="release", to_version="5.1", layer=Layer.INFRASTRUCTURE)
        (pair,) = likely_duplicates([other, one], ["github", "file log"])
        assert (pair.first, pair.second) == ("a", "b")
        assert pair.reason == "both bring release 5.1, 1 h apart"

    @pytest.mark.parametrize(
        "fields", [{"hour": 13}, {"layer": Layer.MODEL}, {"to_version": "5.2"}], ids=["later", "layer", "version"]
    )
    def test_near_misses_are_not(self, fields):
        same = {"hour": 10, "facet": "release", "to_version": "5.1", "layer": Layer.INFRASTRUCTURE}
        one, other = change("a", **same), change("b", **(same | fields))
        assert likely_duplicates([one, other], ["github", "file"]) == []
        assert likely_duplicates([one, replace(one, id="c")], ["github", "github"]) == []

    def test_like_words_or_one_link_are_enough(self):
        one = replace(change("a", hour=1), summary="Deploy 2026.10.1 to eu", link="https://x.example/1")
        other = replace(change("b", hour=1), summary="deploy 2026.10.1 to EU")
        linked = replace(change("c", hour=1), summary="quite another sentence", link="https://x.example/1")
        assert [(p.first, p.second) for p in likely_duplicates([one, other, linked], ["1", "2", "3"])] == [
            ("a", "b"), ("a", "c"),
        ]  # fmt: skip


@pytest.fixture
def reviewer(db):
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident(db):
    return make_incident(incident_start=at(0), incident_end=at(40))


@pytest.fixture
def entry(incident):
    return make_change("prompt-1", feature=incident.feature, at=at(10), until=at(10), scope={"prompt": ["answer"]})


def correct(entry, incident, by, *, reason="The deployment's clock says so.", revision=None, **fields):
    return corrections.correct_change(
        change=entry, by=by, incident=incident, record=replace(record_of(entry), **fields), reason=reason,
        revision=revision or entry.revision,
    )  # fmt: skip


class TestCorrections:
    """A change is corrected, with history, and the correction is undone."""

    def test_time_and_layer_move_and_what_the_log_said_stays(self, entry, incident, reviewer):
        before = inputs_sha256(incident)
        made = correct(entry, incident, reviewer, at=at(8), until=at(9), layer=Layer.MODEL)
        assert (made.at, made.until, made.layer, made.revision) == (at(8), at(9), "model", 2)
        assert made.content_sha256 == entry.content_sha256
        (kept,) = made.revisions.all()
        assert kept.before == {"layer": "prompt", "at": at(10).isoformat(), "until": at(10).isoformat()}
        assert kept.by == reviewer
        assert AuditEntry.objects.filter(action="changes.correct").count() == 1
        assert inputs_sha256(incident) != before  # earlier runs are stale now
        (row,) = selectors.ledger(incident)
        assert row.change.at == at(8)

    def test_a_correction_is_taken_back_as_one_of_its_own(self, entry, incident, reviewer):
        correct(entry, incident, reviewer, at=at(8))
        entry.refresh_from_db()
        correct(entry, incident, reviewer, summary="Answer prompt, second try")
        first, second = ChangeRevision.objects.order_by("number")
        with pytest.raises(UserError, match="Only the latest"):
            corrections.undo_correction(revision=first, by=reviewer, incident=incident)
        made = corrections.undo_correction(revision=second, by=reviewer, incident=incident)
        assert (made.summary, made.at, made.revision) == (entry.summary, at(8), 4)

    def test_a_correction_needs_a_reason_and_a_difference(self, entry, incident, reviewer):
        with pytest.raises(UserError, match="Say why"):
            correct(entry, incident, reviewer, at=at(8), reason="  ")
        with pytest.raises(UserError, match="Nothing differs"):
            correct(entry, incident, reviewer)
        with pytest.raises(UserError, match="until"):
            correct(entry, incident, reviewer, at=at(12))
        assert not ChangeRevision.objects.exists()
        with pytest.raises(IntegrityError), transaction.atomic():
            ChangeRevision.objects.create(change=entry, number=9, reason="", by=reviewer)

    def test_who_was_slower_sees_what_is_stored(self, entry, incident, reviewer):
        correct(entry, incident, reviewer, at=at(8))
        with pytest.raises(EditConflict) as raised:
            correct(entry, incident, reviewer, at=at(7), revision=1)
        assert raised.value.revision == 2
        assert raised.value.current["at"] == at(8)

    def test_nobody_corrects_what_they_may_not(self, entry, incident, reviewer):
        with pytest.raises(PermissionDenied):
            correct(entry, incident, make_person("Vera Viewer", Role.VIEWER), at=at(8))
        other = make_incident("INC-2026-0002", feature=make_feature("Another assistant"))
        with pytest.raises(UserError, match="another feature"):
            correct(entry, other, reviewer, at=at(8))
        incident.status = Status.PUBLISHED
        incident.save()
        with pytest.raises(UserError):
            correct(entry, incident, reviewer, at=at(8))

    def test_the_same_log_again_does_not_undo_a_correction(self, incident, reviewer):
        log = b'{"id": "p-1", "layer": "prompt", "at": "2026-03-02T10:00:00Z", "summary": "Answer 1"}'
        import_changes(feature=incident.feature, by=reviewer, filename="log.jsonl", data=log)
        correct(Change.objects.get(), incident, reviewer, at=at(1), until=at(2))
        outcome = import_changes(feature=incident.feature, by=reviewer, filename="log.jsonl", data=log)
        assert (outcome.added, outcome.unchanged, outcome.conflicting) == (0, 1, [])
        assert Change.objects.get().at == at(1)


class TestMerges:
    """Two entries count once, visibly, and can be taken apart."""

    @pytest.fixture
    def twin(self, incident):
        return make_change("pr-77", feature=incident.feature, at=at(11), until=at(11), source="file")

    def test_a_merged_entry_leaves_the_count_and_stands_under_the_other(self, entry, twin, incident, reviewer):
        assert len(selectors.ledger(incident)) == 2
        assert [(a.pk, b.pk) for a, b, *_ in selectors.duplicate_pairs(selectors.ledger(incident))] == [
            (entry.pk, twin.pk)
        ]
        corrections.merge_changes(duplicate=twin, into=entry, by=reviewer, incident=incident)
        rows = selectors.ledger(incident)
        assert [row.change.pk for row in rows] == [entry.pk]
        assert selectors.merged_changes(incident, [entry]) == {entry.pk: [twin]}
        corrections.unmerge_change(duplicate=twin, by=reviewer, incident=incident)
        assert len(selectors.ledger(incident)) == 2
        assert {"changes.merge", "changes.unmerge"} <= set(AuditEntry.objects.values_list("action", flat=True))

    def test_circles_and_chains_are_refused(self, entry, twin, incident, reviewer):
        third = make_change("third", feature=incident.feature, at=at(12))
        merge = corrections.merge_changes
        with pytest.raises(UserError, match="itself"):
            merge(duplicate=entry, into=entry, by=reviewer, incident=incident)
        merge(duplicate=twin, into=entry, by=reviewer, incident=incident)
        with pytest.raises(UserError, match="other direction"):
            merge(duplicate=entry, into=third, by=reviewer, incident=incident)
        with pytest.raises(UserError, match="merged already"):
            merge(duplicate=third, into=twin, by=reviewer, incident=incident)
        with pytest.raises(UserError, match="not merged"):
            corrections.unmerge_change(duplicate=third, by=reviewer, incident=incident)

    def test_pages_correct_merge_and_take_back(self, client, entry, twin, incident, reviewer):
        client.force_login(reviewer)
        page = client.get(reverse("changes", args=[incident.number])).content.decode()
        assert "Probably told twice" in page
        address = reverse("change-correct", args=[incident.number, entry.pk])
        form = client.get(address).context["form"]
        values = {name: form[name].value() for name in form.fields}
        posted = {name: value for name, value in values.items() if value not in (None, False)}
        posted |= {"at": "2026-03-02T08:00", "until": "2026-03-02T09:00", "reason": "The pipeline log says 08:00."}
        done = client.post(address, posted, follow=True).content.decode()
        assert "is corrected" in done
        assert "The pipeline log says 08:00." in done
        entry.refresh_from_db()
        assert entry.revision == 2
        stale = client.post(address, posted | {"at": "2026-03-02T07:00"})
        assert stale.status_code == 409
        undo = reverse("change-correction-undo", args=[incident.number, entry.revisions.get().pk])
        assert "taken back" in client.post(undo, follow=True).content.decode()
        merge = reverse("change-merge", args=[incident.number, twin.pk])
        assert "counts once" in client.post(merge, {"into": entry.pk}, follow=True).content.decode()
        assert "Choose the entry" in client.post(merge, {"into": "x"}, follow=True).content.decode()
        apart = reverse("change-unmerge", args=[incident.number, twin.pk])
        assert "by itself again" in client.post(apart, follow=True).content.decode()

    def test_the_ledger_is_filtered_by_state_feed_and_time(self, client, entry, twin, incident, reviewer):
        client.force_login(reviewer)
        address = reverse("changes", args=[incident.number])

        def shown(**query):
            page = client.get(address, query)
            return [row.change.external_id for row in page.context["rows"]]

        assert shown(feed="file") == ["pr-77"]
        assert shown(state="no traces yet") == ["prompt-1", "pr-77"]
        assert shown(span="3 days before the onset") == []
        assert shown(span="incident", order="exposure") == ["prompt-1", "pr-77"]
        assert shown(feed="nonsense") == ["prompt-1", "pr-77"]

    def test_the_ledgers_queries_do_not_grow(self, client, incident, reviewer, entry, twin):
        client.force_login(reviewer)
        correct(entry, incident, reviewer, at=at(9))
        address = reverse("changes", args=[incident.number])
        client.get(address)
        with CaptureQueriesContext(connection) as few:
            client.get(address)
        for number in range(30):
            made = make_change(f"c{number}", feature=incident.feature, at=at(number), until=at(number))
            correct(made, incident, reviewer, at=at(number), until=at(number + 1))
        client.get(address)
        with CaptureQueriesContext(connection) as many:
            client.get(address)
        assert len(many) <= len(few) <= 50


def test_the_api_corrects_merges_and_takes_back(entry, incident, reviewer):
    twin = make_change("pr-77", feature=incident.feature, at=at(11), until=at(11), source="file")
    api = Api(reviewer, incident.number)
    assert api.get("./changes/duplicates/")["count"] == 1
    assert api.get("./changes/duplicates/")["results"][0]["is_sure"]
    assert api.ask("post", "./changes/duplicates/") == {"merged": 1, "left": 0}
    twin.refresh_from_db()
    kept = twin if twin.merged_into_id is None else entry
    api.ask("delete", f"./changes/{(entry if kept == twin else twin).pk}/merge/")
    assert [row["change"]["external_id"] for row in api.get("./changes/?source=file")["results"]] == ["pr-77"]
    between = "./changes/?start=2026-03-09T10:30:00Z&end=2026-03-09T12:00:00Z&text=answer"
    assert [row["change"]["external_id"] for row in api.get(between)["results"]] == ["pr-77"]
    api.get("./changes/?layer=kitchen", expect=400)
    body = {"at": "2026-03-09T08:00:00Z", "reason": "The pipeline says so.", "revision": 1}
    made = api.ask("post", f"./changes/{entry.pk}/corrections/", body, expect=201)
    assert (made["revision"], made["at"]) == (2, "2026-03-09T08:00:00Z")
    assert api.get(f"./changes/{entry.pk}/corrections/")["results"][0]["reason"] == "The pipeline says so."
    assert api.ask("post", f"./changes/{entry.pk}/corrections/undo/")["revision"] == 3
    assert api.ask("post", f"./changes/{twin.pk}/merge/", {"into": entry.pk})["merged_into"] == entry.pk
    assert api.ask("delete", f"./changes/{twin.pk}/merge/")["merged_into"] is None
