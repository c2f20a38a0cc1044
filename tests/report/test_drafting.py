"""Drafts by a model: what leaves, what comes back, what it is called until somebody accepts it."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.lib.errors import UserError
from postmortem.pipeline import background, draft
from postmortem.pipeline.models import Run
from postmortem.pipeline.services import start_draft
from postmortem.report.accept import accept_text
from postmortem.report.draft_settings import drafting_settings, save_drafting_settings
from postmortem.report.drafting import Fact, checked_sentences, facts_of, messages_for
from postmortem.report.models import MachineDraft
from postmortem.report.record import assemble_record
from tests.api.client import Api
from tests.builders import make_person
from tests.report.builders import make_publishable

FACTS = [Fact("F1", "Grounded answer rate fell by 10.1 points (95% −10.9 to −9.3).", "finding.result.drop"),
         Fact("F2", "To detect: 2 d 5 h", "clocks.To detect")]  # fmt: skip
SECRET = "AKIA" + "QX7ZT3MPL9RW2KDV"


def answer(*sentences):
    return json.dumps({"sentences": [{"text": text, "facts": facts} for text, facts in sentences]})


@pytest.mark.parametrize(
    ("text", "facts", "doubt"),
    [
        ("The rate fell by 10.1 points (−10.9 to −9.3).", ["F1"], ""),
        ("The rate fell and nobody noticed for 2 d 5 h.", ["F1", "F2"], ""),
        ("The rate fell by 11 points.", ["F1"], "11 stands in no fact"),
        ("It took 2 d 5 h.", ["F1"], "2, 5 stand in no fact"),
        ("Everybody was happy.", [], "names no fact"),
        ("Everybody was happy.", ["F99"], "names no fact"),
        ("The rate fell.", ["F1", "F99"], "not given"),
    ],
)
def test_a_sentence_is_supported_by_facts_that_hold_its_numbers(text, facts, doubt):
    (found,) = checked_sentences(answer((text, facts)), FACTS)
    assert found.text == text and (doubt in found.doubt if doubt else not found.doubt)


def test_what_comes_back_is_plain_and_bounded():
    hostile = "<script>x</script> **Bold** [go](javascript:x) ![x](http://a/b.png) \u202eevil https://evil.example"
    rows = [(hostile, ["F1"])] + [("a" * 5000, ["F1"])] * 50
    found = checked_sentences("```json\n" + answer(*rows) + "\n```", FACTS)
    assert len(found) == 12 and all(len(one.text) <= 500 for one in found)
    assert not set("<>[]*`") & set(found[0].text) and "evil.example" not in found[0].text
    assert "\u202e" not in found[0].text
    for broken in ("", "no", "[]", '{"sentences": 3}', "[" * 100_000):
        with pytest.raises(ValueError, match="not the JSON"):
            checked_sentences(broken, FACTS)
    odd = '{"sentences": [1, {"facts": 3}, {"text": ["x"]}, {"text": "The rate fell.", "facts": {"a": 1}}]}'
    assert [one.doubt for one in checked_sentences(odd, FACTS)] == ["It names no fact of the record."]


def test_facts_are_masked_before_they_are_cut_and_bounded():
    record = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    record["factors"][0]["text"] = "x" * 290 + " hidden-word " + "y" * 100
    record["factors"] *= 60
    facts = facts_of(record, mask=lambda text: text.replace("hidden-word", "[masked: word]"))
    assert len(facts) <= 60 and sum(len(fact.text) for fact in facts) <= 14_000
    assert all(len(fact.text) <= 300 and "hidden" not in fact.text for fact in facts)
    assert "F1: The AI feature is Help Centre Assistant" in messages_for("summary", facts)[1]["content"]


@pytest.fixture
def admin(db):
    return make_person("Ada Min", Role.ADMINISTRATOR)


class Endpoint:
    """A stand-in for an OpenAI-compatible server: `say` sets what it answers, `asked` holds what came."""

    def __init__(self):
        self.asked, stand_in = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stand_in.asked.append((self.path, dict(self.headers), body.decode()))
                status, headers, data = stand_in.reply
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.say(answer(("The rate fell by 10.1 points.", ["F1"]), ("A meteor hit 77 racks.", ["F1"])))

    def say(self, content):
        self.reply = 200, {}, completion(content)


def completion(content):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@pytest.fixture
def endpoint():
    found = Endpoint()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def incident(admin, endpoint):
    incident = make_publishable()
    save_drafting_settings(
        by=admin, revision=0, enabled=True, base_url=endpoint.base + "/", model="writer-1", api_key="key-123"
    )
    return incident


def ask(incident, field="summary"):
    run = start_draft(incident=incident, by=incident.created_by, field=field)
    background.work(once=True)
    run.refresh_from_db()
    return run


def test_it_is_off_until_an_administrator_turns_it_on(client, db):
    incident = make_publishable()
    assert not drafting_settings().enabled
    with pytest.raises(UserError, match="turned off"):
        start_draft(incident=incident, by=incident.created_by, field="summary")
    client.force_login(incident.created_by)
    assert "Draft: Summary" not in client.get(reverse("report-proposals", args=[incident.number])).content.decode()
    with pytest.raises(PermissionDenied):
        save_drafting_settings(by=incident.created_by, revision=0, enabled=True, base_url="https://a.b", model="m")


def test_what_is_sent_is_masked_nameless_and_goes_to_one_address(incident, endpoint):
    factor = incident.factors.first()
    factor.text = (
        f"The key {SECRET} of helen@example.org stood in the prompt, said Priya Nair: https://wiki.example.org/x"
    )
    factor.save()
    run = ask(incident)
    assert run.state == Run.State.DONE, run.message
    ((path, headers, body),) = endpoint.asked
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer key-123"
    for gone in (SECRET, "helen@example.org", "Priya", "Helen", "wiki.example.org", "trace-0", "key-123"):
        assert gone not in body, gone
    assert "stood in the prompt" in body and json.loads(body)["model"] == "writer-1"
    assert AuditEntry.objects.filter(action="text.draft").exists()


def test_a_draft_is_marked_tied_to_facts_and_in_no_record_until_accepted(client, incident, endpoint):
    endpoint.say(
        answer(("The key figure is 10.1 points.", _facts_with(incident, "10.1")), ("A meteor hit 77 racks.", []))
    )
    ask(incident)
    client.force_login(incident.created_by)
    page = client.get(reverse("report-proposals", args=[incident.number])).content.decode()
    assert "machine-made by writer-1, not accepted" in page and "Unsupported" in page
    assert "It names no fact of the record." in page and "facts sent" in page
    assert ">The key figure is 10.1 points.</textarea>" in page  # without the unsupported one
    assert "meteor" not in json.dumps(assemble_record(incident))
    assert "key figure" not in json.dumps(assemble_record(incident))
    made = MachineDraft.objects.get()
    done = client.post(
        reverse("report-proposals", args=[incident.number]),
        {"field": "summary", "text": "The key figure is 10.1 points.", "revision": incident.revision, "draft": made.pk},
    )
    assert done.status_code == 302
    incident.refresh_from_db()
    assert incident.summary == "The key figure is 10.1 points."
    entry = AuditEntry.objects.get(action="text.accept")
    assert entry.after["source"] == "writer-1" and entry.after["edited"] is False
    assert "machine-made by" not in client.get(reverse("report-proposals", args=[incident.number])).content.decode()
    with pytest.raises(UserError, match="gone"):
        accept_text(incident=incident, by=incident.created_by, field="impact", text="x", revision=1, draft=made.pk)


def _facts_with(incident, words):
    return [fact.id for fact in draft.facts_to_send(incident) if words in fact.text][:2]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((302, {"Location": "/v1/elsewhere"}, b""), "answered 302"),
        ((500, {}, b""), "answered 500"),
        ((200, {}, b"x" * 300_000), "more than 200 kB"),
        ((200, {}, b"<html>"), "OpenAI-compatible"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b"0" * 50_000_000, mtime=0)), "OpenAI-compatible"),
        ((200, {}, completion(None)), "without a text"),
        ((200, {}, completion("Sure!")), "not the JSON"),
        ((200, {}, completion('{"sentences": []}')), "without a sentence"),
    ],
)
def test_an_endpoint_that_misbehaves_leaves_one_clear_sentence(incident, endpoint, reply, words):
    endpoint.reply = reply
    run = ask(incident)
    assert run.state == Run.State.FAILED and words in run.message and len(endpoint.asked) == 1
    assert not MachineDraft.objects.exists()


def test_an_endpoint_that_drips_is_left(incident, endpoint, monkeypatch):
    monkeypatch.setattr(draft, "_DEADLINE_SECONDS", -1.0)
    assert "took longer" in ask(incident).message


def test_the_key_is_encrypted_never_read_and_forgotten_with_its_address(admin, incident):
    stored = drafting_settings()
    assert b"key-123" not in bytes(stored.api_key)
    api = Api(admin)
    shown = api.get("drafting/")
    assert shown["enabled"] and "api_key" not in shown and "key-123" not in json.dumps(shown)
    api.ask("put", "drafting/", shown | {"base_url": "https://other.example.org/v1"})
    assert bytes(drafting_settings().api_key) == b""
    for wrong in ("ftp://a/v1", "https://user:pass@a/v1", "https://a/v1?x=1", "a b", "https://a\\b"):
        with pytest.raises(UserError, match="address"):
            save_drafting_settings(by=admin, revision=2, enabled=True, base_url=wrong, model="m")


def test_page_and_rest(client, admin, incident, endpoint):
    client.force_login(admin)
    page = client.get(reverse("drafting-settings"))
    assert "A key is stored." in page.content.decode() and "key-123" not in page.content.decode()
    stale = {"revision": 0, "enabled": "on", "base_url": endpoint.base, "model": "other"}
    assert client.post(reverse("drafting-settings"), stale).status_code == 409
    assert client.post(reverse("drafting-settings"), stale | {"revision": 1}).status_code == 302
    client.force_login(incident.created_by)
    assert client.get(reverse("drafting-settings")).status_code == 403
    client.post(reverse("report-draft-ask", args=[incident.number]), {"field": "impact"})
    assert "Draft by a model" in client.get(reverse("report-proposals", args=[incident.number])).content.decode()
    background.work(once=True)
    api = Api(incident.created_by, incident.number)
    (one,) = api.get("./drafts/")["results"]
    assert one["field"] == "impact" and one["sentences"][1]["doubt"]
    assert api.post("./drafts/", {"field": "summary"}, expect=202)["state"] == "queued"
