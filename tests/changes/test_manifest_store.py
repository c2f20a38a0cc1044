"""Manifests in the database and on the pages: kept with their bytes, compared, made changes, and taken back."""

import gzip
import json
from datetime import timedelta

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.attribution.services import attributed
from postmortem.changes import corrections
from postmortem.changes.manifests import selectors, services
from postmortem.changes.models import Change, Manifest
from postmortem.changes.selectors import change_records
from postmortem.changes.services import delete_change
from postmortem.incidents.models import Status
from postmortem.lib.clock import format_moment, parse_moment
from postmortem.lib.errors import UserError
from postmortem.traces.services import import_file, read_blob
from tests.api.client import Api
from tests.builders import make_change, make_incident, make_person
from tests.changes.test_manifests import DOCUMENTS, HEAD, TRAINING, jsonl

pytestmark = pytest.mark.django_db

OLD = jsonl(HEAD, *DOCUMENTS)
NEW = jsonl(
    HEAD | {"version": "2", "at": "2026-03-05T06:00:00Z", "encoder": "e2"},
    DOCUMENTS[0], DOCUMENTS[1] | {"hash": "2!"}, {"id": "<b>d</b>", "hash": "4"},
)  # fmt: skip
START = parse_moment("2026-03-02T00:00:00Z")


@pytest.fixture
def reviewer():
    return make_person("Priya Nair")


@pytest.fixture
def incident():
    return make_incident()


def store(incident, by, data, name="kb.jsonl", **fields):
    return services.store_manifest(incident=incident, by=by, filename=name, data=data, **fields)[0]


def test_a_manifest_is_kept_once_with_its_bytes(incident, reviewer):
    first = store(incident, reviewer, OLD)
    again, is_new = services.store_manifest(incident=incident, by=reviewer, filename="kb.jsonl", data=OLD)
    assert again == first and not is_new
    assert read_blob(first.raw) == OLD and first.entry_count == 3
    with pytest.raises(UserError, match="stored with other content"):
        store(incident, reviewer, OLD.replace(b'"1"}', b'"9"}') + b"\n" + jsonl({"id": "z", "hash": "0"}))
    assert AuditEntry.objects.filter(action="manifest.import").count() == 1
    with pytest.raises(PermissionDenied):
        store(incident, make_person("Vera Viewer", Role.VIEWER), NEW)
    incident.status = Status.PUBLISHED
    incident.save()
    with pytest.raises(UserError, match="published"):
        store(incident, reviewer, NEW)


def test_good_entries_are_kept_where_the_user_chose_so(incident, reviewer):
    bad = OLD + b'\n{"id": "x"}'
    with pytest.raises(UserError, match=r"kb\.jsonl, line 5: the field “hash” is missing"):
        store(incident, reviewer, bad)
    assert not Manifest.objects.exists()
    kept = store(incident, reviewer, bad, keep_good=True)
    assert (kept.entry_count, kept.fault_count, kept.faults) == (3, 1, [[5, "the field “hash” is missing"]])
    assert selectors.read_stored(kept).count == 3


def test_two_manifests_become_a_retrieval_change(incident, reviewer):
    store(incident, reviewer, OLD)
    newer = store(incident, reviewer, gzip.compress(NEW), "kb.jsonl.gz")
    change = services.log_manifest(manifest=newer, by=reviewer, incident=incident)
    assert (change.layer, change.facet, change.from_version, change.to_version) == (
        "retrieval", "index_version", "1", "2",
    )  # fmt: skip
    assert change.at == parse_moment("2026-03-05T06:00:00Z") and change.source == "manifest"
    assert change.summary == "Index kb 1 → 2: 1 added, 1 removed, 1 changed; encoder e1 → e2"
    assert change.link == "https://git.example.org/kb" and change.scope == {}
    assert change.raw_id == newer.raw_id and gzip.decompress(read_blob(change.raw)) == NEW
    assert change.details["documents"]["gold_changed"] == 1
    with pytest.raises(UserError, match="in the ledger already"):
        services.log_manifest(manifest=newer, by=reviewer, incident=incident)
    with pytest.raises(UserError, match="take that out first"):
        services.delete_manifest(manifest=newer, by=reviewer, incident=incident)
    # Corrected as any other change, and what the manifests tell of it stays.
    record = corrections.record_of(change)
    late = corrections.replace(record, at=record.at + timedelta(hours=2), until=record.at + timedelta(hours=2))
    changed = corrections.correct_change(
        change=change, by=reviewer, incident=incident, record=late, reason="The index was switched later.", revision=1
    )
    assert changed.details == change.details
    delete_change(change=changed, by=reviewer, incident=incident)
    newer.refresh_from_db()
    assert not newer.is_logged
    services.delete_manifest(manifest=newer, by=reviewer, incident=incident)
    assert not Change.objects.exists()


def between(**head):
    """A manifest of the time between the two: one document more than the old one, by the old encoder."""
    return jsonl(HEAD | {"version": "1b", "at": "2026-03-03T06:00:00Z"} | head, *DOCUMENTS, {"id": "m", "hash": "7"})


def test_one_that_comes_later_and_lies_between_corrects_its_successor(incident, reviewer):
    store(incident, reviewer, OLD)
    newer = store(incident, reviewer, NEW)
    change = services.log_manifest(manifest=newer, by=reviewer, incident=incident)
    middle = store(incident, reviewer, between())
    assert selectors.later_logged(middle) == newer
    added = services.log_manifest(manifest=middle, by=reviewer, incident=incident)
    assert (added.from_version, added.to_version) == ("1", "1b")
    change.refresh_from_db()
    newer.refresh_from_db()
    assert (change.from_version, change.to_version, newer.compared_with) == ("1b", "2", middle)
    assert change.summary == "Index kb 1b → 2: 1 added, 2 removed, 1 changed; encoder e1 → e2"
    assert change.details["manifests"] == {"from": middle.raw_id, "to": newer.raw_id}
    revision = change.revisions.get()
    assert revision.reason == "kb 1b lies between 1 and 2: compared with it now."
    assert (revision.before["from_version"], revision.by) == ("1", reviewer)
    assert newer.is_logged and selectors.later_logged(middle) is None
    corrections.undo_correction(revision=revision, by=reviewer, incident=incident)
    change.refresh_from_db()
    assert change.from_version == "1"


def test_a_successor_that_says_the_same_says_so_now(incident, reviewer):
    store(incident, reviewer, OLD)
    change = services.log_manifest(manifest=store(incident, reviewer, NEW), by=reviewer, incident=incident)
    same = NEW.replace(b'"version": "2"', b'"version": "2a"').replace(b"2026-03-05", b"2026-03-04")
    services.log_manifest(manifest=store(incident, reviewer, same), by=reviewer, incident=incident)
    change.refresh_from_db()
    assert change.from_version == "2a" and "added" not in change.summary


def test_the_page_says_that_one_lies_between(client, incident, reviewer):
    store(incident, reviewer, OLD)
    services.log_manifest(manifest=store(incident, reviewer, NEW), by=reviewer, incident=incident)
    middle = store(incident, reviewer, between())
    client.force_login(reviewer)
    page = client.get(reverse("manifest", args=[incident.number, middle.pk])).content.decode()
    assert "It lies between two manifests" in page
    logged = client.post(reverse("manifest-log", args=[incident.number, middle.pk]), follow=True).content.decode()
    assert "The entry of kb 2 is corrected" in logged


def test_training_data_between_correct_the_provenance_of_a_change(incident, reviewer):
    first = store(incident, reviewer, jsonl(TRAINING, {"id": "1"}), "t.jsonl")
    late = TRAINING | {"version": "9", "at": "2026-03-09T00:00:00Z"}
    last = store(incident, reviewer, jsonl(late, {"id": "1"}, {"id": "2"}, {"id": "3"}), "t.jsonl")
    tuned = make_change("ft-2", layer="model", summary="Fine-tune v2 promoted")
    services.attach_provenance(manifest=last, change=tuned, by=reviewer, incident=incident)
    middle = TRAINING | {"version": "8b", "at": format_moment(first.at + timedelta(hours=1))}
    made = store(incident, reviewer, jsonl(middle, {"id": "1"}, {"id": "2"}), "t.jsonl")
    services.log_manifest(manifest=made, by=reviewer, incident=incident)
    tuned.refresh_from_db()
    assert tuned.details["provenance"]["added"] == 1 and tuned.revisions.count() == 2


def test_one_manifest_alone_or_the_same_again_makes_no_change(incident, reviewer):
    first = store(incident, reviewer, OLD)
    with pytest.raises(UserError, match="the first manifest of kb"):
        services.log_manifest(manifest=first, by=reviewer, incident=incident)
    same = store(incident, reviewer, jsonl(HEAD | {"version": "1b", "at": "2026-03-02T06:00:00Z"}, *DOCUMENTS))
    with pytest.raises(UserError, match="say the same"):
        services.log_manifest(manifest=same, by=reviewer, incident=incident)
    training = store(incident, reviewer, jsonl(TRAINING, {"id": "1"}), "t.jsonl")
    with pytest.raises(UserError, match="Only two manifests of one index"):
        selectors.difference(training, first)


def test_the_index_is_the_scope_where_traces_say_which_one_they_asked(incident, reviewer):
    rows = [{"id": "t1", "timestamp": "2026-03-06T00:00:00Z", "facets": {"index": "kb", "index_version": "2"}}]
    import_file(incident=incident, by=reviewer, filename="traces.jsonl", data=jsonl(*rows))
    store(incident, reviewer, OLD)
    change = services.log_manifest(manifest=store(incident, reviewer, NEW), by=reviewer, incident=incident)
    assert change.scope == {"index": ["kb"]}


def test_the_provenance_of_training_data_goes_on_a_change_and_comes_off_again(incident, reviewer):
    tuned = make_change("ft-2", layer="model", summary="Fine-tune v2 promoted", details={"precision": "fp16"})
    prompt = make_change("p-1", layer="prompt")
    rows = jsonl(TRAINING, {"id": "1", "author": "Ana", "topic": "billing"}, {"id": "2", "topic": "billing"})
    manifest = store(incident, reviewer, rows, "t.jsonl")
    with pytest.raises(UserError, match="model change"):
        services.attach_provenance(manifest=manifest, change=prompt, by=reviewer, incident=incident)
    changed = services.attach_provenance(manifest=manifest, change=tuned, by=reviewer, incident=incident)
    assert changed.details["precision"] == "fp16" and changed.details["provenance"]["added"] == 2
    assert changed.details["provenance"]["unaccounted"] == 2
    manifest.refresh_from_db()
    assert manifest.is_logged
    revision = changed.revisions.get()
    assert revision.reason == "Training data tickets 8."
    corrections.undo_correction(revision=revision, by=reviewer, incident=incident)
    manifest.refresh_from_db()
    assert not manifest.is_logged and manifest.change.details == {"precision": "fp16"}


def test_what_manifests_tell_stays_when_the_entry_is_merged_into_another(incident, reviewer):
    store(incident, reviewer, OLD)
    logged = services.log_manifest(manifest=store(incident, reviewer, NEW), by=reviewer, incident=incident)
    told = make_change("ops-7", layer="retrieval", summary="Index rebuilt", at=logged.at, details={"ticket": "OPS-7"})
    corrections.merge_changes(duplicate=logged, into=told, by=reviewer, incident=incident)
    (record,) = change_records(incident)
    assert record.id == "ops-7" and record.details["ticket"] == "OPS-7"
    assert record.details["encoder"] == {"from": "e1", "to": "e2"}


def _trained(incident, by, hurt, count=2400):
    """Traces of six days, fine-tune v2 from the fourth on; `hurt` is the intent that gets worse with it."""
    incident.signal, incident.worse = "success", "lower"
    incident.baseline_start, incident.baseline_end = START, START + timedelta(days=4)
    incident.incident_start, incident.incident_end = START + timedelta(days=4), START + timedelta(days=6)
    incident.save()
    dice = np.random.default_rng(7)
    lines = []
    for number, hours in enumerate(np.sort(dice.uniform(0, 144, count))):
        intent, late = str(dice.choice(["billing", "login", "other"])), hours >= 96
        rate = 0.9 - 0.35 * (late and intent == hurt)
        facets = {"intent": intent, "model_version": "v2" if late else "v1"}
        moment = format_moment(START + timedelta(hours=float(hours)))
        scores = {"success": float(dice.random() < rate)}
        lines.append({"id": f"t{number}", "timestamp": moment, "facets": facets, "scores": scores})
    import_file(incident=incident, by=by, filename="traces.jsonl", data=jsonl(*lines))


def _train(incident, by, *, topics=True):
    head = TRAINING | {"at": format_moment(START + timedelta(days=4))}
    old = [{"id": f"r{n}", "author": "Ana", "reviewer": "Bo", "licence": "internal"} for n in range(300)]
    own = {"topic": "billing"} if topics else {}
    new = [{"id": f"n{n}", "source": "vendor-7", **({"author": "Ana"} if n % 2 else {}), **own} for n in range(200)]
    store(incident, by, jsonl(head | {"version": "7", "at": "2026-02-01T00:00:00Z"}, *old), "7.jsonl")
    newer = store(incident, by, jsonl(head, *old[20:], *new), "8.jsonl")
    return services.log_manifest(manifest=newer, by=by, incident=incident)


def _pattern(incident, number):
    result, _ = attributed(incident)
    return next(one for one in result["patterns"] if one["number"] == number)


def test_from_manifests_to_a_match_of_the_provenance_gap(incident, reviewer):
    _trained(incident, reviewer, hurt="billing")
    change = _train(incident, reviewer)
    assert change.summary == "Trained on tickets 7 → 8: 200 rows added, 20 rows removed"
    assert (change.facet, change.to_version) == ("model_version", "v2")
    found = _pattern(incident, 2)
    assert found["answer"] == "match"
    shares = {one["label"]: (one["estimate"], one["count"]) for one in found["numbers"]}
    assert shares["Added rows without author or reviewer"] == (1.0, 200)
    assert shares["Added rows without author"] == (0.5, 200)
    assert shares["Added rows without licence"] == (1.0, 200)
    assert found["picture"] and found["traces"] and found["actions"]


def test_rows_added_elsewhere_are_a_near_miss(incident, reviewer):
    _trained(incident, reviewer, hurt="login")
    _train(incident, reviewer)
    found = _pattern(incident, 2)
    assert found["answer"] == "no_match" and "200 of 200 added rows" in found["sentence"]


def test_rows_without_topics_are_too_little(incident, reviewer):
    _trained(incident, reviewer, hurt="billing")
    _train(incident, reviewer, topics=False)
    found = _pattern(incident, 2)
    assert found["answer"] == "not_enough_data" and found["numbers"][0]["estimate"] == 1.0
    assert "topics of added rows" in found["missing"][0]


class TestPages:
    def upload(self, client, incident, data, name="kb.jsonl", **fields):
        file = SimpleUploadedFile(name, data)
        address = reverse("manifest-upload", args=[incident.number])
        return client.post(address, {"file": file, "log": "on", "faults": "refuse"} | fields, follow=True)

    def test_upload_difference_and_ledger(self, client, incident, reviewer):
        client.force_login(reviewer)
        empty = client.get(reverse("manifests", args=[incident.number])).content.decode()
        assert "No manifest of an index or of training data yet" in empty
        first = self.upload(client, incident, OLD).content.decode()
        assert "The first manifest of this index." in first and "kb 1: 3 documents" in first
        page = self.upload(client, incident, NEW).content.decode()
        assert "In the ledger: Index kb 1 → 2" in page
        assert "&lt;b&gt;d&lt;/b&gt;" in page and "<b>d</b>" not in page
        assert "Gold documents that moved" in page
        assert "download all" in page and "By day, UTC" in page and "2026-02-01" in page
        kept = Manifest.objects.get(version="2")
        whole = client.get(reverse("manifest-difference", args=[incident.number, kept.pk]))
        lines = [json.loads(line) for line in b"".join(whole.streaming_content).splitlines()]
        assert {"difference": "removed", "id": "c"} in lines and {"difference": "added", "id": "<b>d</b>"} in lines
        change = Change.objects.get()
        shown = client.get(reverse("change", args=[incident.number, change.pk])).content.decode()
        assert "Documents" in shown and "e1" in shown and "Take it out of the log" in shown
        listed = client.get(reverse("manifests", args=[incident.number])).content.decode()
        assert change.summary in listed

    def test_a_fault_stands_at_the_field(self, client, incident, reviewer):
        client.force_login(reviewer)
        answer = self.upload(client, incident, OLD + b'\n{"id": "x"}')
        assert answer.status_code == 400
        assert "kb.jsonl, line 5: the field “hash” is missing" in answer.content.decode()
        kept = self.upload(client, incident, OLD + b'\n{"id": "x"}', faults="skip").content.decode()
        assert "1 left out, line 5: the field “hash” is missing" in kept

    def test_training_data_are_put_on_a_change_and_shown_there(self, client, incident, reviewer):
        tuned = make_change("ft-2", layer="model", summary="Fine-tune v2 promoted")
        client.force_login(reviewer)
        rows = jsonl(TRAINING, {"id": "1", "author": "Ana", "topic": "billing"}, {"id": "2", "topic": "billing"})
        page = self.upload(client, incident, rows, "t.jsonl").content.decode()
        assert "2 of 2 added rows have no author or no reviewer" in page and "Fine-tune v2 promoted" in page
        manifest = Manifest.objects.get()
        address = reverse("manifest-log", args=[incident.number, manifest.pk])
        shown = client.post(address, {"with": "", "change": tuned.pk}, follow=True).content.decode()
        assert "Provenance of the training data" in shown and "No author" in shown and "1 of 2" in shown
        assert "what manifests tell of it" in shown and "Take this correction back" in shown

    def test_viewers_read_and_nothing_more(self, client, incident, reviewer):
        manifest = store(incident, reviewer, OLD)
        client.force_login(make_person("Vera Viewer", Role.VIEWER))
        page = client.get(reverse("manifest", args=[incident.number, manifest.pk])).content.decode()
        assert "Forget this manifest" not in page
        assert client.post(reverse("manifest-delete", args=[incident.number, manifest.pk])).status_code == 403
        assert self.upload(client, incident, NEW).status_code == 403

    def test_raw_bytes_are_for_those_who_may_and_each_look_is_kept(self, client, incident, reviewer):
        store(incident, reviewer, OLD)
        change = services.log_manifest(manifest=store(incident, reviewer, NEW), by=reviewer, incident=incident)
        address = reverse("change-raw", args=[incident.number, change.pk])
        client.force_login(reviewer)
        assert client.get(address).status_code == 403
        client.force_login(make_person("Fay Facilitator", Role.FACILITATOR))
        answer = client.get(address)
        assert answer.content == NEW and "attachment" in answer["Content-Disposition"]
        assert AuditEntry.objects.filter(action="changes.raw").count() == 1


def test_the_api_does_the_same(incident, reviewer):
    api = Api(reviewer, incident.number)
    old = api.post("./manifests/", {"file": SimpleUploadedFile("kb.jsonl", OLD)}, format="multipart")
    new = api.post("./manifests/", {"file": SimpleUploadedFile("kb2.jsonl", NEW)}, format="multipart")
    api.post("./manifests/", {"file": SimpleUploadedFile("kb2.jsonl", NEW)}, format="multipart", expect=200)
    assert [one["version"] for one in api.get("./manifests/")["results"]] == ["2", "1"]
    found = api.get(f"./manifests/{new['id']}/difference/")
    assert found["older"] == old["id"] and found["counts"]["changed"] == 1 and found["ids"]["removed"] == ["c"]
    assert found["settings"] == [{"name": "encoder", "before": "e1", "after": "e2"}]
    change = api.post(f"./manifests/{new['id']}/change/")
    assert change["layer"] == "retrieval" and change["details"]["documents"]["added"] == 1
    api.ask("delete", f"./manifests/{new['id']}/", expect=400)
    api.ask("delete", f"./manifests/{old['id']}/", expect=204)


def test_the_command_does_the_same(incident, tmp_path, capsys):
    make_person("Ada Admin", Role.ADMINISTRATOR)
    (tmp_path / "1.jsonl").write_bytes(OLD)
    (tmp_path / "2.jsonl").write_bytes(NEW + b'\n{"id": "x"}')
    call_command("import_manifest", incident.number, tmp_path / "1.jsonl", tmp_path / "2.jsonl", "--keep-good")
    out = capsys.readouterr().out
    assert "1.jsonl: kb 1, 3 entries." in out
    assert "2.jsonl: kb 2, 3 entries, 1 left out (line 5: the field “hash” is missing)." in out
    assert "Index kb 1 → 2: 1 added, 1 removed, 1 changed" in out
    assert json.dumps(Change.objects.get().details["documents"]["examples"]["removed"]) == '["c"]'
