"""The schema generates without a warning, and its page works under the site's own policy."""

import json
import re
from io import StringIO

import pytest
from django.core.management import call_command

from postmortem.api.urls import _incident_patterns
from tests.api.client import Api
from tests.builders import make_person

pytestmark = pytest.mark.django_db


def test_the_schema_validates_without_a_warning():
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out)
    paths = json.loads(out.getvalue())["paths"]
    for pattern in _incident_patterns:
        address = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        address = address.replace("{pk}", "{id}")
        assert f"/api/incidents/{{number}}/{address}" in paths


def test_whoever_is_signed_in_reads_schema_and_page(client):
    person = make_person()
    assert Api(person).client.get("/api/schema/").status_code == 200
    client.force_login(person)
    page = client.get("/api/docs/")
    html = page.content.decode()
    assert page.status_code == 200
    assert "unsafe-inline" not in page["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", html), "nothing that the policy would block"
    script = client.get("/api/docs/?script=")
    assert script.status_code == 200 and "javascript" in script["Content-Type"] and b"/api/schema/" in script.content
