"""Evidence in the admin can be looked at and nothing else."""

from typing import Any

import pytest
from django.test import Client

from postmortem.accounts.models import Person
from postmortem.traces import services
from postmortem.traces.models import EvidenceBlob
from tests.builders import make_incident

pytestmark = pytest.mark.django_db


def test_imports_and_bytes_are_read_only(client: Client, django_assert_max_num_queries: Any) -> None:
    admin = Person.objects.create_superuser("ada@example.org", "a long pass phrase", name="Ada Admin")
    client.force_login(admin)
    incident = make_incident()
    for number in range(5):
        data = b'{"id": "t%d", "timestamp": "2026-03-09T09:00:00Z", "facets": {}}\n' % number
        services.import_file(incident=incident, by=admin, filename=f"{number}.jsonl", data=data)
    with django_assert_max_num_queries(10):
        assert client.get("/admin/traces/evidenceimport/").status_code == 200
    blob = EvidenceBlob.objects.first()
    assert blob is not None
    page = f"/admin/traces/evidenceblob/{blob.pk}/"
    assert client.get("/admin/traces/evidenceblob/").status_code == 200
    assert client.get(page + "change/").status_code == 200
    assert client.post(page + "change/", {"media_type": "text/plain"}).status_code == 403
    assert client.post(page + "delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/traces/evidenceblob/add/").status_code == 403
