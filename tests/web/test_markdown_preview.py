"""The preview of Markdown fields: the record's own sanitiser, for whoever is signed in."""

import pytest
from django.urls import reverse

from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


def test_it_shows_what_the_record_would_show(client):
    client.force_login(make_person("Somebody"))
    text = "**1,120 answers**\n\n- one\n- two\n\n<script>alert(1)</script> [go](javascript:alert(2)) ![x](file:///etc)"
    shown = client.post(reverse("markdown-preview"), {"field": "impact", "impact": text}).content.decode()
    assert "<strong>1,120 answers</strong>" in shown and "<li>one</li>" in shown
    assert "<script" not in shown and "javascript:" not in shown and "<img" not in shown
    empty = client.post(reverse("markdown-preview"), {"field": "impact", "impact": " "}).content.decode()
    assert "Nothing is written yet" in empty
    # A field that is no Markdown field shows nothing of what else the form sent.
    other = client.post(reverse("markdown-preview"), {"field": "csrfmiddlewaretoken", "csrfmiddlewaretoken": "secret"})
    assert "secret" not in other.content.decode()


def test_a_long_text_is_bounded(client):
    client.force_login(make_person("Somebody"))
    shown = client.post(reverse("markdown-preview"), {"field": "text", "text": "word " * 40_000}).content
    assert b"cut after 100,000 characters" in shown and len(shown) < 120_000


def test_every_markdown_field_has_one(client):
    incident = make_incident()
    client.force_login(incident.created_by)
    page = client.get(reverse("incident-edit", args=[incident.number])).content.decode()
    for name in ("summary", "impact", "detection_gap", "lessons", "decisions_requested"):
        assert f'id="preview-id_{name}"' in page
    assert page.count('class="preview') == 5
    assert 'id="preview-gap-text"' in client.get(f"/incidents/{incident.number}/review/detection/").content.decode()
