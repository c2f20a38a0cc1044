"""Traces: found, read whole, cited."""

import html
import re

import pytest
from django.urls import reverse

from postmortem.accounts.models import Role
from postmortem.review.models import Evidence
from postmortem.traces import services as traces
from postmortem.traces.models import Trace
from tests.builders import make_incident, make_person
from tests.web.builders import HTMX, deep_trace, import_traces

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer():
    return make_person("Priya Nair", Role.REVIEWER)


@pytest.fixture
def incident(reviewer):
    incident = make_incident()
    import_traces(incident, reviewer, count=120)
    return incident


def test_without_traces_the_list_leads_to_the_evidence(client, reviewer):
    empty = make_incident("INC-2026-0009")
    client.force_login(reviewer)
    page = client.get(reverse("trace-list", args=[empty.number])).content.decode()
    assert "No trace is in evidence yet" in page


def test_the_list_has_pages_score_columns_and_bounded_queries(
    client, incident, reviewer, django_assert_max_num_queries
):
    client.force_login(reviewer)
    with django_assert_max_num_queries(58):
        page = client.get(reverse("trace-list", args=[incident.number])).content.decode()
    assert 'rel="next"' in page and 'rel="prev"' not in page
    assert "grounded" in page


@pytest.mark.parametrize("order", ["", "newest"])
def test_one_turns_pages_there_and_back(client, incident, reviewer, order):
    client.force_login(reviewer)
    address = reverse("trace-list", args=[incident.number]) + f"?order={order}"
    pages, url = [], address
    for _ in range(3):
        page = client.get(url).content.decode()
        pages.append(re.findall(r"trace-\d{4}", page)[::2])
        following = re.search(r'rel="next" href="([^"]+)"', page)
        url = address.split("?")[0] + html.unescape(following[1]) if following else ""
    assert [len(set(rows)) for rows in pages] == [50, 50, 20] and not url
    everything = [name for rows in pages for name in dict.fromkeys(rows)]
    assert everything == sorted(everything, reverse=order == "newest") and len(everything) == 120
    back = re.search(r'rel="prev" href="([^"]+)"', page)[1]
    page = client.get(address.split("?")[0] + html.unescape(back)).content.decode()
    assert list(dict.fromkeys(re.findall(r"trace-\d{4}", page))) == list(dict.fromkeys(pages[1]))


def test_facets_text_and_score_narrow_the_list(client, incident, reviewer):
    client.force_login(reviewer)
    url = reverse("trace-list", args=[incident.number])

    def found(**query):
        return client.get(url, query, headers=HTMX | {"HX-Target": "trace-rows"}).content.decode()

    assert "60 traces" in found(**{"f.prompt_version": "v43"})
    assert "30 traces" in found(**{"f.prompt_version": "v43", "f.region": "eu"})
    assert "1 trace " in found(q="trace-0007")
    assert "120 traces" in found(score="grounded")
    assert "60 traces" in found(score="grounded", highest="0.5")
    assert "60 traces" in found(score="grounded", lowest="0.5")
    assert "24 traces" in found(start="2026-03-03T00:00", end="2026-03-04T00:00")
    assert "120 traces" in found(label="none")
    nothing = found(q="zebra")
    assert "No trace fits." in nothing
    assert "<html" not in nothing


def test_filters_stay_when_one_turns_the_page(client, incident, reviewer):
    client.force_login(reviewer)
    page = client.get(reverse("trace-list", args=[incident.number]), {"f.region": "eu"}).content.decode()
    assert re.search(r'rel="next" href="\?f.region=eu&amp;after=', page)


def test_strange_filters_do_no_harm(client, incident, reviewer):
    client.force_login(reviewer)
    url = reverse("trace-list", args=[incident.number])
    odd = [
        "f.=x", "f.a'b\"c=x", "f.a__b=x", "after=nine~x", "after=x~1", "order=secret_key", "lowest=much", "start=noon",
        "label=?", 'q="* OR (', "q='':*%26!", "q=...", "highest=nan",
    ]  # fmt: skip
    for query in odd:
        assert client.get(f"{url}?{query}").status_code == 200


@pytest.fixture
def deep(incident, reviewer):
    traces.import_file(incident=incident, by=reviewer, filename="trace-deep.json", data=deep_trace(450))
    return Trace.objects.get(external_id="deep")


def test_a_large_trace_comes_in_parts(client, incident, reviewer, deep):
    client.force_login(reviewer)
    url = reverse("trace-detail", args=[incident.number, deep.pk])
    page = client.get(url).content.decode()
    assert page.count('id="observation-') == 200
    assert "Show the next 200 of 450" in page
    more = client.get(url, {"from": "400"}, headers=HTMX | {"HX-Target": "more-observations"}).content.decode()
    assert more.count('id="observation-') == 50
    assert "<html" not in more
    plain = client.get(url, {"from": "400"}).content.decode()
    assert plain.count('id="observation-') == 50
    assert client.get(url, {"from": "-1e9"}).status_code == 200
    assert client.get(url, {"from": "99999"}).url == url
    assert "1 error" in page and re.search(r'href="\?from=\d+#observation-\d+"', page)


def test_a_trace_shows_its_versions_and_what_was_not_recorded(client, incident, reviewer):
    client.force_login(reviewer)
    trace = Trace.objects.get(external_id="trace-0001")
    page = client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    assert "v42" in page
    assert "not recorded" in page
    assert trace.trace_blobs.get().blob_id in page


def test_hostile_text_is_shown_as_text(client, incident, reviewer):
    data = deep_trace(3, text="<script>alert(1)</script>" + "x" * 2000)
    traces.import_file(incident=incident, by=reviewer, filename="trace-deep.json", data=data)
    trace = Trace.objects.get(external_id="deep")
    client.force_login(reviewer)
    page = client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    assert "<script>alert(1)" not in page
    part = reverse("trace-observation", args=[incident.number, trace.pk, 1])
    body = client.get(part, headers=HTMX | {"HX-Target": "io-1"}).content.decode()
    assert "Cut here. Show whole" in body
    assert "<html" not in body and "<script>alert(1)" not in body
    whole = client.get(reverse("trace-observation", args=[incident.number, trace.pk, 1])).content.decode()
    assert "x" * 2000 in whole
    assert "<script>alert(1)" not in whole
    assert client.get(reverse("trace-observation", args=[incident.number, trace.pk, 99])).status_code == 404


def test_a_trace_is_cited(client, incident, reviewer):
    client.force_login(reviewer)
    trace = Trace.objects.first()
    url = reverse("trace-cite", args=[incident.number, trace.pk])
    client.post(url, {"layer": "prompt", "direction": "for", "text": "v43 forgets the refund rule."})
    piece = Evidence.objects.get()
    assert (piece.trace, piece.layer, piece.direction) == (trace, "prompt", "for")
    page = client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    assert "v43 forgets the refund rule." in page


def test_a_citation_without_words_is_refused(client, incident, reviewer):
    client.force_login(reviewer)
    trace = Trace.objects.first()
    answer = client.post(reverse("trace-cite", args=[incident.number, trace.pk]), {"layer": "", "direction": "for"})
    assert answer.status_code == 400
    assert "Say in a sentence what it shows." in answer.content.decode()
    assert not Evidence.objects.exists()


def test_who_only_looks_cannot_cite(client, incident):
    client.force_login(make_person("Vera Look", Role.VIEWER))
    trace = Trace.objects.first()
    assert (
        "Cite this trace" not in client.get(reverse("trace-detail", args=[incident.number, trace.pk])).content.decode()
    )
    assert client.post(reverse("trace-cite", args=[incident.number, trace.pk])).status_code == 403


def test_a_trace_of_another_incident_is_not_found(client, incident, reviewer):
    other = make_incident("INC-2026-0002")
    client.force_login(reviewer)
    assert client.get(reverse("trace-detail", args=[other.number, Trace.objects.first().pk])).status_code == 404
