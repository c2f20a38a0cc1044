"""Signing in and out, theme, pass phrase and tokens."""

import pytest
from django.test import Client
from django.urls import reverse
from knox.models import AuthToken

from tests.builders import make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    return make_person("Priya Nair")


@pytest.fixture
def signed_in(client: Client, person) -> Client:
    client.force_login(person)
    return client


def test_signing_in_leads_to_the_incidents(client, person):
    answer = client.post(
        reverse("sign-in"), {"username": person.email, "password": "a long pass phrase"}, REMOTE_ADDR="127.0.0.1"
    )
    assert answer.status_code == 302
    assert answer.url == reverse("incident-list")


def test_a_wrong_pass_phrase_gets_one_sentence(client, person):
    answer = client.post(reverse("sign-in"), {"username": person.email, "password": "wrong"})
    assert "do not go together" in answer.content.decode()


def test_eight_wrong_tries_pause_signing_in(client, person):
    for _ in range(8):
        answer = client.post(reverse("sign-in"), {"username": person.email, "password": "wrong"})
    assert answer.status_code == 429
    assert "Too many tries" in answer.content.decode()
    right = client.post(reverse("sign-in"), {"username": person.email, "password": "a long pass phrase"})
    assert right.status_code == 429
    other = make_person("Jun Sato")
    free = client.post(reverse("sign-in"), {"username": other.email, "password": "a long pass phrase"})
    assert free.status_code == 302


def test_the_theme_is_remembered_and_never_leads_off_the_site(signed_in):
    answer = signed_in.post(reverse("theme"), {"theme": "dark", "next": "https://evil.example/"})
    assert answer.url == reverse("account")
    assert answer.cookies["theme"].value == "dark"
    assert 'data-theme="dark"' in signed_in.get(reverse("account")).content.decode()


def test_a_token_is_shown_once_and_revoked_by_its_owner_only(signed_in, person):
    signed_in.post(reverse("token-new"))
    first, second = (signed_in.get(reverse("account")).content.decode() for _ in range(2))
    assert "shown only now" in first
    assert "shown only now" not in second
    token = AuthToken.objects.get(user=person)
    other = Client()
    other.force_login(make_person("Jun Sato"))
    other.post(reverse("token-revoke", args=[token.token_key]))
    assert AuthToken.objects.filter(user=person).exists()
    signed_in.post(reverse("token-revoke", args=[token.token_key]))
    assert not AuthToken.objects.filter(user=person).exists()


def test_the_method_page_explains_itself(signed_in):
    page = signed_in.get(reverse("method")).content.decode()
    assert "In two minutes" in page
    assert "Wakefield" in page


def test_single_keys_can_be_switched_off_and_on_again(client):
    """WCAG 2.1.4: a letter alone is a shortcut only as long as one wants it."""
    client.force_login(make_person())
    assert "data-keys" not in client.get("/account/").content.decode()
    assert client.post("/account/keys/", {"keys": "off"}).status_code == 302
    off = client.get("/account/").content.decode()
    assert 'data-keys="off"' in off and "Switch them on" in off
    client.post("/account/keys/", {"keys": "on"})
    assert "data-keys" not in client.get("/account/").content.decode()
