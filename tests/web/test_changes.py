"""Changes: the ledger, the reconciliation, and every way to add an entry."""

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.changes.models import Change, ChangeFeed
from postmortem.incidents.models import Status
from postmortem.lib.clock import parse_moment
from postmortem.pipeline.models import Run
from postmortem.traces import services as traces
from tests.api.client import Api
from tests.builders import make_change, make_incident, make_person
from tests.web.builders import HTMX, import_traces

pytestmark = pytest.mark.django_db

LINE = {
    "id": "prompt-43", "layer": "prompt", "at": "2026-03-02T06:00:00Z", "until": "2026-03-02T06:00:00Z",
    "rollout": "instant", "scope": {}, "facet": "prompt_version", "to_version": "v43",
    "summary": "Refund examples v42 → v43",
}  # fmt: skip


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident():
    return make_incident()


def url(incident, name="changes"):
    return reverse(name, args=[incident.number])


def upload(client, incident, text, name="changes.jsonl", **kwargs):
    file = SimpleUploadedFile(name, text if isinstance(text, bytes) else text.encode())
    return client.post(url(incident, "changes-upload"), {"file": file}, **kwargs)


def test_an_empty_ledger_says_what_to_do(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "No change is logged around this incident" in page
    assert "The four change logs are empty." in page
    assert "encoder-3" in page  # the sample to copy


def test_a_log_comes_in_once(client, incident, reviewer):
    client.force_login(reviewer)
    page = upload(client, incident, json.dumps(LINE), follow=True).content.decode()
    assert "1 added, 0 were there already" in page
    page = upload(client, incident, json.dumps(LINE), follow=True).content.decode()
    assert "0 added, 1 were there already" in page
    assert Change.objects.count() == 1


def test_another_text_under_a_known_id_is_told(client, incident, reviewer):
    client.force_login(reviewer)
    upload(client, incident, json.dumps(LINE))
    page = upload(client, incident, json.dumps(LINE | {"to_version": "v44"}), follow=True).content.decode()
    assert "prompt-43" in page
    assert "differ from what is stored" in page
    assert Change.objects.get().to_version == "v43"


@pytest.mark.parametrize("text", ["{broken", json.dumps(LINE | {"layer": "weather"}), "id,layer\nx"])
def test_a_broken_log_leaves_nothing_behind(client, incident, reviewer, text):
    client.force_login(reviewer)
    name = "changes.csv" if text.startswith("id,") else "changes.jsonl"
    answer = upload(client, incident, json.dumps(LINE) + "\n" + text if name.endswith("l") else text, name)
    assert answer.status_code == 400
    assert 'id="id_file_error"' in answer.content.decode()
    assert not Change.objects.exists()


def test_the_ledger_joins_changes_with_traces(client, incident, reviewer):
    import_traces(incident, reviewer, count=12)
    client.force_login(reviewer)
    upload(client, incident, json.dumps(LINE))
    page = client.get(url(incident)).content.decode()
    assert "Refund examples v42 → v43" in page
    assert "6 traces" in page
    assert "observed" in page


def test_the_filter_narrows_by_layer_and_text(client, incident, reviewer):
    make_change("prompt-1", summary="Tone softened")
    make_change("encoder-3", layer="retrieval", summary="Encoder helix-3")
    client.force_login(reviewer)

    def found(**query):
        return client.get(url(incident), query, headers=HTMX | {"HX-Target": "ledger"}).content.decode()

    assert "Tone softened" not in found(layer="retrieval")
    assert "Encoder helix-3" in found(layer="retrieval")
    assert "Tone softened" in found(q="softened")
    nothing = found(q="zebra", layer="nonsense")
    assert "No change fits this filter." in nothing
    assert "<html" not in nothing


def test_the_page_asks_the_same_number_of_queries_for_many(client, incident, reviewer, django_assert_max_num_queries):
    import_traces(incident, reviewer, count=40)
    for index in range(60):
        make_change(f"prompt-{index}", summary=f"Change {index}", at=parse_moment("2026-03-02T06:00:00Z"))
    client.force_login(reviewer)
    with django_assert_max_num_queries(60):
        client.get(url(incident))


def test_an_unlogged_move_leads_to_a_filled_form_and_an_action(client, incident, reviewer):
    import_traces(incident, reviewer, count=40)
    client.force_login(reviewer)
    page = client.get(url(incident))
    moves = page.context["never_logged"]
    assert [(move.facet, move.to_version) for move, _, _ in moves] == [("prompt_version", "v43")]
    _, log_url, action_url = moves[0]
    filled = client.get(log_url).content.decode()
    assert 'value="v43"' in filled
    assert 'value="2026-03-02T20:00:00"' in filled
    assert parse_qs(urlsplit(action_url).query)["kind"] == ["instrument"]
    assert client.get(action_url).status_code == 200


HAND = {
    "layer": "prompt", "summary": "Refund examples v42 → v43", "at": "2026-03-02T20:00:00", "until": "",
    "rollout": "instant", "canary_share": "", "stage_facet": "", "stage_order": "", "facet": "prompt_version",
    "from_version": "v42", "to_version": "v43", "scope": "prompt = refund, returns", "actor": "", "link": "",
    "external_id": "",
}  # fmt: skip


def test_a_change_typed_by_hand_is_stored_whole(client, incident, reviewer):
    client.force_login(reviewer)
    fields = HAND | {"rollout": "canary", "canary_share": "10", "until": "2026-03-02T22:00:00", "is_rollback": "on"}
    answer = client.post(url(incident, "change-new"), fields)
    assert answer.status_code == 302
    change = Change.objects.get()
    assert change.scope == {"prompt": ["refund", "returns"]}
    assert change.canary_share == pytest.approx(0.1)
    assert change.is_rollback
    assert change.source == Change.Source.HAND
    assert change.external_id.startswith("prompt-refund-examples")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"layer": ""}, "Choose the layer that changed."),
        ({"summary": ""}, "Say in one line what changed."),
        ({"at": "soon"}, "“soon” is not a date and time"),
        ({"until": "2026-03-01T00:00:00"}, "It cannot be complete before it began."),
        ({"rollout": "canary"}, "Give the canary&#x27;s share of traffic in percent."),
        ({"rollout": "canary", "canary_share": "150"}, "at most 100 percent"),
        ({"rollout": "staged"}, "Name the facet by which the rollout was staged."),
        ({"scope": "everywhere"}, "“everywhere” is not a scope"),
        ({"to_version": ""}, "Give the version that the facet moved to."),
        ({"link": "javascript:alert(1)"}, "must begin with https:// or http://"),
    ],
)
def test_each_mistake_has_its_sentence_and_typed_text_stays(client, incident, reviewer, changed, sentence):
    client.force_login(reviewer)
    answer = client.post(url(incident, "change-new"), HAND | changed)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in page
    assert 'value="v42"' in page
    assert not Change.objects.exists()


def test_a_hand_typed_entry_can_be_taken_back_an_imported_one_not(client, incident, reviewer):
    client.force_login(reviewer)
    client.post(url(incident, "change-new"), HAND)
    upload(client, incident, json.dumps(LINE))
    for change in Change.objects.all():
        client.post(reverse("change-delete", args=[incident.number, change.pk]))
    assert [change.source for change in Change.objects.all()] == [Change.Source.FILE]


def test_prompt_versions_are_pulled_from_a_connection(client, incident, reviewer):
    connection = traces.create_connection(
        by=make_person("Ada Root", Role.ADMINISTRATOR),
        name="Production",
        base_url="https://langfuse.example.org",
        public_key="pk-lf-1",
        secret_key="sk-lf-1",
    )
    client.force_login(reviewer)
    answer = client.post(url(incident, "changes-pull"), {"connection": ""})
    assert "Choose a connection first." in answer.content.decode()
    page = client.post(url(incident, "changes-pull"), {"connection": connection.pk}, follow=True).content.decode()
    run = Run.objects.get()
    assert run.kind == Run.Kind.IMPORT_PROMPTS
    assert f'id="run-{run.pk}"' in page


def test_who_only_looks_sees_the_ledger_and_no_form(client, incident):
    make_change("prompt-1", summary="Tone softened")
    client.force_login(make_person("Vera Look", Role.VIEWER))
    page = client.get(url(incident)).content.decode()
    assert "Tone softened" in page
    assert "Read only" in page
    assert 'type="file"' not in page
    assert client.get(url(incident, "change-new")).status_code == 403
    assert upload(client, incident, json.dumps(LINE)).status_code == 403


def test_a_published_incident_takes_no_changes(client, incident, reviewer):
    type(incident).objects.filter(pk=incident.pk).update(status=Status.PUBLISHED)
    client.force_login(reviewer)
    assert "Read only: the report is published" in client.get(url(incident)).content.decode()
    upload(client, incident, json.dumps(LINE))
    assert not Change.objects.exists()


def test_the_ledger_is_narrowed_by_version_scope_and_any_time(client, incident, reviewer):
    make_change("prompt-1", summary="Tone softened", to_version="v43", scope={"region": ["eu-west"]})
    make_change("prompt-2", summary="Later one", at=parse_moment("2026-03-12T09:00:00Z"))
    client.force_login(reviewer)

    def found(**query):
        return client.get(url(incident), query, headers=HTMX | {"HX-Target": "ledger"}).content.decode()

    assert "Tone softened" in found(q="v43") and "Later one" not in found(q="v43")
    assert "Tone softened" in found(q="eu-west")
    assert "Later one" not in found(end="2026-03-10T00:00")
    assert "Tone softened" not in found(start="2026-03-10T00:00")
    assert "Later one" in found(start="nonsense")
    page = client.get(url(incident), {"start": "2026-03-10T00:00"}).content.decode()
    assert 'value="2026-03-10T00:00"' in page and "Tone softened" not in page


def test_pairs_of_two_feeds_are_merged_at_once_and_taken_apart_one_by_one(client, incident, reviewer):
    for number in range(3):
        at = parse_moment(f"2026-03-0{number + 2}T06:00:00Z")
        for source, origin in ((Change.Source.FILE, "a.jsonl"), (Change.Source.WEBHOOK, "GitHub")):
            make_change(
                f"{source}-{number}", summary=f"Release {number} of the gateway", at=at, source=source, origin=origin
            )
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "3 pairs probably told twice" in page and "Merge these 3" in page
    done = client.post(url(incident, "changes-merge-all"), follow=True).content.decode()
    assert "3 merged" in done and "3 logged changes" in done
    merged = Change.objects.exclude(merged_into=None).first()
    apart = client.post(reverse("change-unmerge", args=[incident.number, merged.pk]), follow=True).content.decode()
    assert "by itself again" in apart and "How far it reached" in apart
    assert Change.objects.exclude(merged_into=None).count() == 2


def test_the_nearest_of_many_can_be_merged(client, incident, reviewer):
    for number in range(150):
        make_change(
            f"p-{number}", summary=f"Step {number}", at=parse_moment("2026-03-01T00:00:00Z") + timedelta(hours=number)
        )
    last = Change.objects.get(external_id="p-149")
    client.force_login(reviewer)
    page = client.get(reverse("change-correct", args=[incident.number, last.pk]))
    assert [one.external_id for one in page.context["others"]][-1] == "p-148"
    assert len(page.context["others"]) == 60


def test_good_entries_are_kept_where_somebody_chose_so(client, incident, reviewer):
    client.force_login(reviewer)
    bad = "\n".join([json.dumps(LINE), "{", *[json.dumps({"id": f"x{n}", "layer": "prompt"}) for n in range(25)]])
    assert upload(client, incident, bad).status_code == 400
    assert not Change.objects.exists()
    file = SimpleUploadedFile("changes.jsonl", bad.encode())
    page = client.post(url(incident, "changes-upload"), {"file": file, "faults": "skip"}, follow=True)
    text = page.content.decode()
    assert "1 added, 0 were there already" in text
    assert "26 entries were left out:" in text
    assert "changes.jsonl, line 2: this is not JSON" in text
    assert "changes.jsonl, line 3: the field “at” is missing" in text
    assert "And 6 more" in text


def test_the_ledger_of_one_feed_alone(client, incident, reviewer):
    feed = ChangeFeed.objects.create(
        feature=incident.feature, name="Gateway deployments", kind="github", secret_encrypted=b"", made_by=reviewer
    )
    make_change("mine", feature=incident.feature, summary="Told by the feed", feed=feed, source="webhook")
    make_change("other", feature=incident.feature, summary="Told by another", source="webhook")
    client.force_login(reviewer)
    page = client.get(url(incident), {"feed": f"feed:{feed.pk}"})
    text = page.content.decode()
    assert f'<option value="feed:{feed.pk}" selected>Gateway deployments</option>' in text
    assert [row.change.external_id for row in page.context["rows"]] == ["mine"]
    assert len(client.get(url(incident), {"feed": "webhook"}).context["rows"]) == 2
    for nonsense in ("feed:", "feed:x", "kitchen", "feed:99999999999999999999"):
        assert len(client.get(url(incident), {"feed": nonsense}).context["rows"]) == 2
    rows = Api(reviewer, incident.number).get(f"./changes/?feed={feed.pk}")["results"]
    assert [row["change"]["external_id"] for row in rows] == ["mine"]
