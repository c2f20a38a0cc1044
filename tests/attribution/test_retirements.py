"""The calendar of model retirements: own entries with source and history, and the traces' models that retire ahead."""

from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.attribution.calendar import selectors, services
from postmortem.attribution.models import ModelRetirement
from postmortem.attribution.patterns.retirements import (
    Retirement,
    parse_calendar,
    plain_model,
    retirements_of,
    shipped_calendar,
)
from postmortem.lib.clock import parse_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError
from tests.api.client import Api
from tests.builders import make_incident, make_person, make_trace

SOURCE = "https://provider.example.org/deprecations"
TODAY = date(2026, 3, 10)


def entry(model="gpt-x", day=date(2026, 9, 30), **fields):
    return Retirement(model, day, fields.pop("source", SOURCE), **fields)


@pytest.fixture
def reviewer(db):
    return make_person("Priya Nair")


@pytest.fixture
def incident(db):
    made = make_incident()
    for number, model in enumerate(["gpt-x", "gpt-x", "house-7", "us.anthropic.claude-2.1-v1:0"]):
        make_trace(made, f"t{number}", facets={"model": model, "model_served": model, "model_version": "fp_123"})
    return made


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("us.anthropic.claude-3-opus-20240229-v1:0", "claude-3-opus-20240229"),
        ("openrouter/openai/GPT-4-32k", "gpt-4-32k"),
        ("claude-3-opus@20240229", "claude-3-opus-20240229"),
        ("gpt-4.5-preview", "gpt-4.5-preview"),
        ("", ""),
    ],
)
def test_clouds_and_gateways_name_the_same_model(model, plain):
    assert plain_model(model) == plain


def test_an_exact_name_goes_first():
    calendar = {"gpt-4": parse_moment("2026-01-01"), "openai/gpt-4": parse_moment("2027-01-01")}
    assert retirements_of(["openai/gpt-4", "azure/gpt-4", "other"], calendar) == {
        "openai/gpt-4": ("openai/gpt-4", parse_moment("2027-01-01")),
        "azure/gpt-4": ("openai/gpt-4", parse_moment("2027-01-01")),
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "c.csv",
            "model,retires_on,source\ngpt-x,soon,https://a.example.org\n",
            "c.csv, line 2: the field “retires_on”",
        ),
        ("c.csv", "model,retires_on,source\ngpt-x,2026-09-30,javascript:alert(1)\n", "line 2: the field “source”"),
        ("c.csv", "model,retires_on,source\n,2026-09-30,https://a.example.org\n", "line 2: the field “model”"),
        ("c.json", '{"models": [{"model": "a"}]}', "c.json, entry 1: the field “retires_on”"),
        ("c.json", '{"models": [7]}', "entry 1: this is not an object"),
        ("c.json", "{", "is not JSON"),
        ("c.json", "{}", "no list “models”"),
        ("c.json", "[]", "lists no models"),
        ("c.json", "[" * 9999, "is not JSON"),
    ],
)
def test_a_file_with_a_bad_entry_is_refused_whole(name, text, said):
    with pytest.raises(UserError, match=said):
        parse_calendar(text.encode(), name)


def test_every_shipped_entry_names_its_source():
    assert all(one.source.startswith("https://") for one in shipped_calendar())


@pytest.mark.django_db
def test_own_entries_win_and_keep_their_history(reviewer):
    shipped = shipped_calendar()[0]
    assert services.add_retirements(by=reviewer, entries=[entry(), entry(shipped.model)]) == (2, 0)
    assert services.add_retirements(by=reviewer, entries=[entry()]) == (0, 1)
    found = {one.retirement.model: one for one in selectors.calendar(TODAY)}
    assert found["gpt-x"].days_left == 204 and found["gpt-x"].own is not None
    assert found[shipped.model].retirement.retires_on == date(2026, 9, 30)
    assert selectors.retirement_moments()["gpt-x"] == parse_moment("2026-09-30T00:00:00Z")
    row = ModelRetirement.objects.get(model="gpt-x")
    later = entry(day=date(2026, 12, 31))
    services.change_retirement(retirement=row, by=reviewer, entry=later, revision=1)
    with pytest.raises(EditConflict):
        services.change_retirement(retirement=row, by=reviewer, entry=entry(), revision=1)
    services.change_retirement(retirement=row, by=reviewer, entry=later, revision=2, withdrawn=True)
    assert "gpt-x" not in selectors.retirement_moments()
    services.change_retirement(retirement=row, by=reviewer, entry=later, revision=3)
    assert [one.fields["retires_on"] for one in row.revisions.all()] == [
        "2026-12-31", "2026-12-31", "2026-12-31", "2026-09-30",
    ]  # fmt: skip
    assert AuditEntry.objects.filter(action__startswith="retirement.").count() == 5
    with pytest.raises(PermissionDenied):
        services.add_retirements(by=make_person("Vera Viewer", Role.VIEWER), entries=[entry()])


def test_models_of_the_traces_stand_with_their_days(incident, reviewer):
    services.add_retirements(by=reviewer, entries=[entry(replacement="gpt-y")])
    rows = selectors.seen_models([incident], TODAY)
    assert [(row.model, row.traces, row.entry and row.entry.days_left) for row in rows] == [
        ("us.anthropic.claude-2.1-v1:0", 1, -232), ("gpt-x", 2, 204), ("house-7", 1, None),
    ]  # fmt: skip
    assert rows[1].facets == ("model", "model_served")


def test_the_page_warns_ahead_and_one_click_makes_an_action(client, incident, reviewer):
    day = utc_now().date() + timedelta(days=60)
    services.add_retirements(by=reviewer, entries=[entry(day=day, replacement="gpt-y")])
    client.force_login(reviewer)
    page = client.get(reverse("retirements-ahead", args=[incident.number]))
    text = page.content.decode()
    assert "1 model in the traces retires ahead" in text and "house-7" in text and "Add its date" in text
    url = next(url for row, url in page.context["dated"] if row.model == "gpt-x")
    assert parse_qs(urlsplit(url).query)["title"] == ["Move every call from gpt-x to gpt-y"]
    form = client.get(url).content.decode()
    assert (day - timedelta(days=14)).isoformat() in form
    wide = client.get(reverse("retirements-ahead", args=[incident.number]), {"of": "feature"}).content.decode()
    assert "Of 1 incident of" in wide


def test_the_calendar_page_adds_corrects_uploads_and_withdraws(client, reviewer):
    client.force_login(reviewer)
    address = reverse("retirements")
    typed = {"model": "gpt-x", "retires_on": "2026-09-30", "source": SOURCE, "replacement": ""}
    assert "gpt-x" in client.post(address, typed, follow=True).content.decode()
    refused = client.post(address, typed | {"source": "see mail"})
    assert refused.status_code == 400 and "The field “source” must be a link" in refused.content.decode()
    row = ModelRetirement.objects.get()
    own = reverse("retirement", args=[row.pk])
    client.post(own, typed | {"retires_on": "2026-10-31", "revision": "1", "do": "save"})
    assert client.post(own, typed | {"revision": "1", "do": "save"}).status_code == 409
    client.post(own, typed | {"retires_on": "2026-10-31", "revision": "2", "do": "withdraw"})
    row.refresh_from_db()
    assert row.withdrawn and row.retires_on == date(2026, 10, 31)
    assert "the entry is withdrawn" in client.get(own).content.decode()
    file = SimpleUploadedFile("c.csv", f"model,retires_on,source\nm-2,2026-05-01,{SOURCE}\n".encode())
    told = client.post(reverse("retirements-upload"), {"file": file}, follow=True).content.decode()
    assert "1 added or changed" in told
    bad = SimpleUploadedFile("c.csv", b"model,retires_on,source\nm-3,2026-05-01,mail\n")
    assert client.post(reverse("retirements-upload"), {"file": bad}).status_code == 400
    assert "m-2" in client.get(address, {"q": "m-2"}).content.decode()
    client.force_login(make_person("Vera Viewer", Role.VIEWER))
    assert "Add an entry" not in client.get(address).content.decode()
    assert client.post(address, typed).status_code == 403


def test_the_api_does_the_same(incident, reviewer):
    api = Api(reviewer, incident.number)
    made = api.post("retirements/", {"model": "gpt-x", "retires_on": "2026-09-30", "source": SOURCE})
    assert made["revision"] == 1
    changed = api.patch(f"retirements/{made['id']}/", {"retires_on": "2026-12-01", "revision": 1})
    assert changed["retires_on"] == "2026-12-01"
    api.patch(f"retirements/{made['id']}/", {"retires_on": "2026-12-01", "revision": 1}, expect=409)
    api.post("retirements/", {"model": "gpt-z", "retires_on": "x", "source": SOURCE}, expect=400)
    file = SimpleUploadedFile(
        "c.json", b'[{"model": "m", "retires_on": "2027-01-01", "source": "https://a.example.org"}]'
    )
    assert api.post("retirements/file/", {"file": file}, format="multipart", expect=200) == {"moved": 1, "unchanged": 0}
    assert len(api.get("retirements/")["results"]) >= 3
    seen = api.get("./retirements/")["results"]
    assert [one["model"] for one in seen if one["retirement"]] == ["us.anthropic.claude-2.1-v1:0", "gpt-x"]
