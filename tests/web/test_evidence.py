"""Evidence: links, files, windows and what came in."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.incidents.models import Status
from postmortem.lib.clock import parse_moment
from postmortem.pipeline import background
from postmortem.pipeline.models import Run
from postmortem.traces import services as traces
from postmortem.traces.models import EvidenceBlob, EvidenceImport, Trace
from tests.builders import make_incident, make_person
from tests.web.builders import HTMX, import_traces, open_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def viewer():
    return make_person("Vera Look", Role.VIEWER)


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def connection():
    return traces.create_connection(
        by=make_person("Ada Root", Role.ADMINISTRATOR),
        name="Production",
        base_url="https://langfuse.example.org",
        public_key="pk-lf-1",
        secret_key="sk-lf-1",
    )


def url(incident, name="evidence"):
    return reverse(name, args=[incident.number])


def test_an_empty_page_puts_the_cursor_where_one_pastes(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "No evidence yet" in page
    assert "autofocus" in page
    assert "Nothing imported" in page


def test_a_link_starts_a_run_that_the_page_follows(client, incident, reviewer, connection):
    client.force_login(reviewer)
    link = "https://langfuse.example.org/project/p1/traces/abc"
    page = client.post(url(incident, "evidence-link"), {"link": link}, follow=True).content.decode()
    run = Run.objects.get()
    assert run.payload["link"] == link
    assert f'id="run-{run.pk}"' in page
    assert 'hx-trigger="every 1s"' in page
    assert "<noscript>" in page


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ("", "Paste the link of a trace first."),
        ("not a link", ""),
        ("https://elsewhere.example/project/p/traces/t", ""),
    ],
)
def test_a_bad_link_is_refused_beside_the_field_and_kept(client, incident, reviewer, connection, link, sentence):
    client.force_login(reviewer)
    answer = client.post(url(incident, "evidence-link"), {"link": link})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert 'id="id_link_error"' in page
    assert sentence in page
    assert f'value="{link}"' in page or not link
    assert not Run.objects.exists()


def test_a_file_comes_in_once(client, incident, reviewer):
    client.force_login(reviewer)
    for _ in range(2):
        file = SimpleUploadedFile("traces.jsonl", open_traces(12))
        page = client.post(url(incident, "evidence-upload"), {"file": file}, follow=True).content.decode()
        assert "12 traces and 12 scores are in evidence" in page
    assert Trace.objects.count() == 12
    assert EvidenceBlob.objects.count() == 1


@pytest.mark.parametrize("data", [b"{broken", b'{"id": "x"}\n', b"\x00\xff"])
def test_a_broken_file_leaves_nothing_behind(client, incident, reviewer, data):
    client.force_login(reviewer)
    answer = client.post(url(incident, "evidence-upload"), {"file": SimpleUploadedFile("traces.jsonl", data)})
    assert answer.status_code == 400
    assert 'id="id_file_error"' in answer.content.decode()
    assert not Trace.objects.exists()
    assert not EvidenceImport.objects.exists()
    assert not EvidenceBlob.objects.exists()


def test_no_file_and_an_empty_file_are_named(client, incident, reviewer):
    client.force_login(reviewer)
    assert "Choose a file first." in client.post(url(incident, "evidence-upload")).content.decode()
    empty = SimpleUploadedFile("traces.jsonl", b"")
    assert "This file is empty" in client.post(url(incident, "evidence-upload"), {"file": empty}).content.decode()


def test_a_file_over_the_limit_is_refused(client, incident, reviewer, settings):
    settings.IMPORT_MAX_FILE_BYTES = 100
    client.force_login(reviewer)
    answer = client.post(url(incident, "evidence-upload"), {"file": SimpleUploadedFile("t.jsonl", open_traces(12))})
    assert "t.jsonl has more than 0 MB, the most that one file may have" in answer.content.decode()
    assert not Trace.objects.exists()


def test_what_came_in_shows_hash_facets_and_what_a_missing_one_costs(client, incident, reviewer):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert EvidenceBlob.objects.get().sha256 in page
    assert "prompt_version" in page
    assert "v42" in page
    assert "A silent provider update goes unnoticed." in page


def window_fields(incident, **changed):
    return {
        "signal": "grounded",
        "worse": "lower",
        "trace_name": "",
        "environment": "",
        "baseline_start": "2026-03-02T00:00:00",
        "baseline_end": "2026-03-02T06:00:00",
        "incident_start": "2026-03-02T06:00:00",
        "incident_end": "2026-03-02T12:00:00",
        "revision": str(incident.revision),
    } | changed


def test_signal_and_windows_are_saved(client, incident, reviewer):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    assert client.post(url(incident, "evidence-window"), window_fields(incident)).status_code == 302
    incident.refresh_from_db()
    assert incident.signal == "grounded"
    assert incident.baseline_end == parse_moment("2026-03-02T06:00:00Z")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"signal": ""}, "Choose the signal that got worse."),
        ({"baseline_end": ""}, "Give both ends of the baseline, or neither."),
        ({"incident_end": "2026-03-01T00:00:00"}, "The incident window must end after it begins."),
        ({"baseline_start": "yesterday"}, "“yesterday” is not a date and time"),
        ({"baseline_end": "2026-03-02T09:00:00"}, "end the baseline before the incident"),
    ],
)
def test_wrong_windows_are_named_and_kept(client, incident, reviewer, changed, sentence):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    answer = client.post(url(incident, "evidence-window"), window_fields(incident, **changed))
    page = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in page
    assert "2026-03-02T00:00:00" in page or "yesterday" in page
    incident.refresh_from_db()
    assert incident.signal == ""


def test_two_people_who_choose_at_once_see_both_versions(client, incident, reviewer):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    client.post(url(incident, "evidence-window"), window_fields(incident))
    answer = client.post(url(incident, "evidence-window"), window_fields(incident, signal="error", worse="higher"))
    page = answer.content.decode()
    assert answer.status_code in (400, 409)
    incident.refresh_from_db()
    assert incident.signal == "grounded"
    assert 'id="conflict"' in page or "signal" in page.lower()


def test_a_conflict_can_be_saved_again(client, incident, reviewer):
    import_traces(incident, reviewer)
    client.force_login(reviewer)
    client.post(url(incident, "evidence-window"), window_fields(incident))
    answer = client.post(url(incident, "evidence-window"), window_fields(incident, worse="higher"))
    assert answer.status_code == 409
    assert "Stored now" in answer.content.decode()
    incident.refresh_from_db()
    assert client.post(url(incident, "evidence-window"), window_fields(incident, worse="higher")).status_code == 302
    incident.refresh_from_db()
    assert incident.worse == "higher"


def test_who_only_looks_sees_no_form(client, incident, viewer, reviewer):
    import_traces(incident, reviewer)
    client.force_login(viewer)
    page = client.get(url(incident)).content.decode()
    assert "Read only" in page
    assert 'name="link"' not in page
    assert client.post(url(incident, "evidence-link"), {"link": "x"}).status_code == 403
    assert client.post(url(incident, "evidence-upload")).status_code == 403
    assert client.post(url(incident, "evidence-window"), window_fields(incident)).status_code == 403


def test_a_published_incident_is_read_only(client, incident, reviewer):
    import_traces(incident, reviewer)
    type(incident).objects.filter(pk=incident.pk).update(status=Status.PUBLISHED)
    client.force_login(reviewer)
    page = client.get(url(incident)).content.decode()
    assert "Read only: the report is published" in page
    assert 'name="link"' not in page


@pytest.fixture
def run(incident, reviewer):
    payload = {"link": "https://x.example/project/p/traces/t", "cap": 10}
    return background.enqueue(incident=incident, by=reviewer, kind=Run.Kind.IMPORT_LINK, payload=payload)


def test_a_run_at_work_asks_again_and_an_ended_one_tells_the_page(client, incident, reviewer, run):
    client.force_login(reviewer)
    status = reverse("run-status", args=[incident.number, run.pk])
    answer = client.get(status, headers=HTMX)
    assert "every 1s" in answer.content.decode()
    assert "HX-Trigger" not in answer
    Run.objects.filter(pk=run.pk).update(state=Run.State.FAILED, message="The server does not answer.")
    answer = client.get(status, headers=HTMX)
    assert answer["HX-Trigger"] == "run-ended"
    assert "The server does not answer." in answer.content.decode()
    assert "every 1s" not in answer.content.decode()
    assert client.get(status).url == url(incident)


def test_a_run_is_cancelled_and_tried_again_with_and_without_htmx(client, incident, reviewer, run):
    client.force_login(reviewer)
    args = [incident.number, run.pk]
    assert client.post(reverse("run-cancel", args=args)).url == url(incident)
    run.refresh_from_db()
    assert run.state == Run.State.CANCELLED
    page = client.post(reverse("run-retry", args=args), headers=HTMX).content.decode()
    assert "<html" not in page
    run.refresh_from_db()
    assert run.state == Run.State.QUEUED


def test_who_only_looks_cannot_cancel(client, incident, viewer, run):
    client.force_login(viewer)
    assert client.post(reverse("run-cancel", args=[incident.number, run.pk])).status_code == 403


def test_a_run_of_another_incident_is_not_found(client, reviewer, run):
    other = make_incident("INC-2026-0002")
    client.force_login(reviewer)
    assert client.get(reverse("run-status", args=[other.number, run.pk]), headers=HTMX).status_code == 404


def test_the_page_asks_a_bounded_number_of_queries(client, incident, reviewer, django_assert_max_num_queries):
    for part in range(6):
        data = open_traces(20).replace(b"trace-", f"trace-{part}-".encode())
        traces.import_file(incident=incident, by=reviewer, filename=f"{part}.jsonl", data=data)
    client.force_login(reviewer)
    with django_assert_max_num_queries(60):
        client.get(url(incident))


def test_a_filtered_window_starts_a_run_and_can_be_pulled_again(client, incident, reviewer, connection):
    client.force_login(reviewer)
    given = {
        "connection": connection.pk, "name": "answer", "tags": "region:eu, beta", "score_name": "grounded",
        "score_operator": "<", "score_value": "0.5", "start": "2026-03-09T00:00:00", "end": "2026-03-10T00:00:00",
    }  # fmt: skip
    page = client.post(url(incident, "evidence-filtered"), given, follow=True).content.decode()
    run = Run.objects.get()
    assert run.payload["asked"] == {
        "filters": {
            "name": "answer", "tags": ["region:eu", "beta"],
            "score": {"name": "grounded", "operator": "<", "value": 0.5},
        },
        "start": "2026-03-09T00:00:00.000Z", "end": "2026-03-10T00:00:00.000Z",
    }  # fmt: skip
    assert f'id="run-{run.pk}"' in page
    import_traces(incident, reviewer)
    done = EvidenceImport.objects.create(
        incident=incident, kind="query", origin="Production: “answer”", connection=connection, finished=True,
        asked=run.payload["asked"], imported_by=reviewer,
    )  # fmt: skip
    again = reverse("evidence-again", args=[incident.number, done.pk])
    assert again in client.get(url(incident)).content.decode()
    client.post(again)
    assert Run.objects.latest("pk").payload["again"] is True


def test_a_filtered_window_says_what_is_missing(client, incident, reviewer, viewer, connection):
    client.force_login(reviewer)
    answer = client.post(url(incident, "evidence-filtered"), {"connection": connection.pk, "score_name": "grounded"})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Say from when" in page or "needs a score" in page
    assert '<details class="upload" open id="filtered">' in page
    assert not Run.objects.exists()
    client.force_login(viewer)
    assert client.post(url(incident, "evidence-filtered"), {"connection": connection.pk}).status_code == 403
