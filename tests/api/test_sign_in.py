"""Tokens: getting one, using it, losing it; guessing is bounded."""

import pytest
from knox.models import AuthToken

from tests.api.client import Api
from tests.builders import make_person

pytestmark = pytest.mark.django_db
PASSWORD = "a long pass phrase"


@pytest.fixture
def nobody():
    return Api(None)


def sign_in(api, email="priya.nair@example.org", password=PASSWORD, expect=200):
    return api.post("auth/login/", {"email": email, "password": password}, expect=expect)


def test_a_token_signs_in_until_it_is_revoked(nobody):
    make_person()
    answer = sign_in(nobody, email="Priya.Nair@Example.org")
    assert answer["person"]["name"] == "Priya Nair" and answer["expiry"]
    assert answer["token"] not in str(AuthToken.objects.values()), "stored hashed"
    nobody.client.credentials(HTTP_AUTHORIZATION=f"Token {answer['token']}")
    assert nobody.get("auth/me/")["email"] == "priya.nair@example.org"
    nobody.post("auth/logout/", expect=204)
    nobody.get("auth/me/", expect=401)


def test_everywhere_means_every_token(nobody):
    person = make_person()
    first, second = Api(person), Api(person)
    first.post("auth/logout-everywhere/", expect=204)
    second.get("auth/me/", expect=401)


@pytest.mark.parametrize(
    ("email", "password", "active"),
    [
        ("priya.nair@example.org", "wrong", True),
        ("nobody@example.org", PASSWORD, True),
        ("priya.nair@example.org", PASSWORD, False),
    ],
)
def test_a_wrong_pair_is_401_and_says_no_more(nobody, email, password, active):
    make_person(is_active=active)
    answer = sign_in(nobody, email, password, expect=401)
    assert answer == {"detail": "This e-mail and password do not go together."}


def test_guessing_is_stopped_with_json(nobody, settings):
    make_person()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        sign_in(nobody, password="wrong", expect=401)
    assert "wait a quarter of an hour" in sign_in(nobody, password="wrong", expect=429)["detail"]
    sign_in(nobody, expect=429)


def test_without_a_token_everything_is_401_json(nobody):
    for address in ("incidents/", "people/", "incidents/INC-2026-0001/"):
        assert nobody.get(address, expect=401)["detail"] == "Authentication credentials were not provided."


def test_a_deactivated_person_loses_the_token_at_once():
    person = make_person()
    api = Api(person)
    type(person).objects.filter(pk=person.pk).update(is_active=False)
    api.get("auth/me/", expect=401)


def test_a_browser_session_needs_the_csrf_token(client):
    from django.test import Client

    person = make_person()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    assert strict.get("/api/auth/me/").status_code == 200
    answer = strict.post("/api/incidents/", {"title": "x"}, content_type="application/json")
    assert answer.status_code == 403 and "CSRF" in answer.json()["detail"]
