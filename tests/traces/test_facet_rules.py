"""Facets by path, where facets lie, and what was not logged."""

import json

import pytest
from django.core.exceptions import PermissionDenied
from hypothesis import given
from hypothesis import strategies as st

from postmortem.accounts.models import Role
from postmortem.lib.errors import UserError
from postmortem.traces import own_facets, reread
from postmortem.traces import services as traces
from postmortem.traces.facet_rules import check_rule, places_of, value_at
from postmortem.traces.logging_score import FACET_WORTH, logging_score
from postmortem.traces.models import OwnFacets, Trace
from postmortem.traces.selectors import facet_coverage
from tests.builders import make_incident, make_person

ROW = {
    "userId": "u1",
    "metadata": {"customer": {"tier": "gold", "n": 3}, "gen_ai.request.model": "m", "json": '{"a": {"b": true}}'},
    "tags": ["plan:pro", "beta", "region=eu"],
    "input": '{"locale": "de"}',
    "list": [{"x": 1.5}],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("userId", "u1"),
        ("metadata.customer.tier", "gold"),
        ("metadata.customer.n", "3"),
        ("metadata.gen_ai.request.model", "m"),
        ("metadata.json.a.b", "true"),
        ("tags.plan", "pro"),
        ("tags.region", "eu"),
        ("input.locale", "de"),
        ("list.0.x", "1.5"),
        ("metadata.customer", ""),
        ("metadata.absent.tier", ""),
        ("list.9.x", ""),
        ("tags.beta", ""),
    ],
)
def test_a_path_finds_its_value(path, value):
    assert value_at(ROW, path) == value


@given(st.recursive(st.none() | st.text(max_size=8) | st.integers(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)), st.text(max_size=20))  # fmt: skip # noqa: E501
def test_any_path_on_any_json_gives_text(value, path):
    assert isinstance(value_at({"a": value, "tags": value}, path), str)
    assert isinstance(places_of({"metadata": value, "tags": value, "facets": value}), dict)


def test_bad_rules_are_refused():
    check_rule("customer_tier", "metadata.customer.tier")
    for name, path in [("Tier", "a"), ("", "a"), ("a" * 41, "a"), ("a", ""), ("a", ".a"), ("a", "a." * 13 + "a")]:
        with pytest.raises(UserError):
            check_rule(name, path)


def test_places_of_the_map():
    row = {
        "promptName": "p", "providedModelName": "m", "metadata": {"attributes": {"region": "eu"}, "segment": "pro"},
        "tags": ["tenant:t"],
    }  # fmt: skip
    assert places_of(row) == {
        "prompt": "promptName", "model": "providedModelName", "region": "metadata.attributes.region",
        "segment": "metadata.segment", "tenant": "tags",
    }  # fmt: skip
    assert places_of({"facets": {"region": "eu"}}) == {"region": "facets.region"}


def test_the_score_is_what_the_weights_say():
    assert logging_score({}).points == 0 and len(logging_score({}).gaps) == len(FACET_WORTH)
    full = logging_score(dict.fromkeys(FACET_WORTH, 1.0))
    assert full.points == pytest.approx(100) and full.gaps == []
    some = logging_score(dict.fromkeys(FACET_WORTH, 1.0) | {"release": 0.5, "intent": 0.0})
    assert [gap.facet for gap in some.gaps] == ["release", "intent"]
    assert some.points == pytest.approx(100 - sum(gap.lost for gap in some.gaps))


@pytest.fixture
def administrator(db):
    return make_person("Ada Min", Role.ADMINISTRATOR)


@pytest.fixture
def incident(administrator):
    rows = [
        {
            "id": f"t{place}", "timestamp": "2026-03-02T00:00:00Z", "facets": {"region": "eu"} if place else {},
            "metadata": {"zone": "us", "customer": {"tier": ["gold", "free"][place % 2]}},
        }
        for place in range(4)
    ]  # fmt: skip
    incident = make_incident()
    data = "\n".join(json.dumps(row) for row in rows).encode()
    traces.import_file(incident=incident, by=administrator, filename="t.jsonl", data=data)
    return incident


def facets():
    return dict(Trace.objects.values_list("external_id", "facets"))


def test_a_rule_reads_stored_traces_and_takes_back_only_what_it_gave(incident, administrator):
    assert facet_coverage(incident)[-1].name != "tier"
    tier = own_facets.add_rule(by=administrator, name="tier", path="metadata.customer.tier")
    region = own_facets.add_rule(by=administrator, name="region", path="metadata.zone")
    while reread.read_next_blob():
        pass
    assert facets()["t0"] == {"tier": "gold", "region": "us"}
    assert facets()["t1"] == {"tier": "free", "region": "eu"}
    assert {facet.name: facet.share for facet in facet_coverage(incident)}["tier"] == 1.0
    own_facets.retire_rule(rule=tier, by=administrator)
    own_facets.retire_rule(rule=region, by=administrator)
    while reread.read_next_blob():
        pass
    assert facets()["t0"] == {} and facets()["t1"] == {"region": "eu"}
    assert not any(row.given for row in OwnFacets.objects.all())


def test_new_imports_have_the_facet_at_once(incident, administrator):
    own_facets.add_rule(by=administrator, name="tier", path="metadata.customer.tier")
    row = {"id": "new", "timestamp": "2026-03-02T00:00:00Z", "facets": {}, "metadata": {"customer": {"tier": "pro"}}}
    traces.import_file(incident=incident, by=administrator, filename="n.jsonl", data=json.dumps(row).encode())
    assert facets()["new"] == {"tier": "pro"}


def test_rules_are_an_administrators_and_one_a_facet(incident, administrator):
    with pytest.raises(PermissionDenied):
        own_facets.add_rule(by=make_person("Jun Sato", Role.FACILITATOR), name="tier", path="a")
    own_facets.add_rule(by=administrator, name="tier", path="a")
    with pytest.raises(UserError, match="already"):
        own_facets.add_rule(by=administrator, name="tier", path="b")


def test_a_path_can_be_tried_and_places_are_sampled(incident):
    found, sampled, values = own_facets.try_path(incident, "metadata.customer.tier")
    assert (found, sampled, dict(values)) == (4, 4, {"gold": 2, "free": 2})
    assert [(place.facet, place.place, place.share) for place in own_facets.facet_places(incident)] == [
        ("region", "facets.region", 0.75)
    ]
