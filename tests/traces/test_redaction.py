"""Secrets and personal data are found where they are, and nothing else is."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmortem.lib.errors import UserError
from postmortem.traces.redaction import HousePattern, check_pattern, find, mask, mask_value

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVm"
FOUND = [
    ("Write to jane.doe+x@example.co.uk.", "jane.doe+x@example.co.uk", "e-mail address"),
    ("call +49 30 901820 today", "+49 30 901820", "telephone number"),
    ("call (212) 555-2368 today", "(212) 555-2368", "telephone number"),
    ("card 4111 1111 1111 1111, please", "4111 1111 1111 1111", "payment card"),
    ("to DE89 3704 0044 0532 0130 00 by", "DE89 3704 0044 0532 0130 00", "bank account"),
    ("ssn 536-22-8726.", "536-22-8726", "social security number"),
    ("from 8.8.8.8 at", "8.8.8.8", "network address"),
    ("from 2001:4860:4860::8888 at", "2001:4860:4860::8888", "network address"),
    ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE", "aws access key"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "github token"),
    ("key sk-lf-1234567890abcdef-0123 used", "sk-lf-1234567890abcdef-0123", "secret"),
    ("password=hunter2hunter&x=1", "hunter2hunter", "secret"),
    ("Authorization: Bearer abcdefghijklmnopqrst", "abcdefghijklmnopqrst", "secret"),
    (f"jwt {JWT} end", JWT, "web token"),
]  # fmt: skip
ORDINARY = [
    "I returned the running shoes on Monday. When do I get my money back?",
    "release 4.18.2 at 2026-03-01T00:09:20.329Z, trace 1ab6420be4d22240d303c19afa45bc2d",
    "order 123456789012345, 09:20:11, from 10.0.0.1 and 127.0.0.1",
    "card 4111 1111 1111 1112 has a wrong check digit",
    "Refunds are paid within 5 working days (4.90 is taken off)",
]


@pytest.mark.parametrize(("text", "secret", "kind"), FOUND)
def test_it_is_found_where_it_is(text, secret, kind):
    assert [(text[span.start : span.end], span.kind) for span in find(text)] == [(secret, kind)]
    assert secret not in mask(text)
    assert f"[masked: {kind}]" in mask(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text):
    assert mask(text) == text


def test_a_password_in_an_address_goes():
    assert "s3cr3tpw" not in mask("https://bob:s3cr3tpw@host.example/")


def test_a_private_key_goes_whole():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabcdef\n-----END RSA PRIVATE KEY-----"
    assert mask(f"before {key} after") == "before [masked: private key] after"


def test_json_is_masked_at_every_depth_and_by_the_name_of_the_key():
    value = {"user": {"mail": ["a@example.org"]}, "api_key": "short", "n": 3, "b@example.org": None}
    assert mask_value(value) == {
        "user": {"mail": ["[masked: e-mail address]"]},
        "api_key": "[masked: secret]",
        "n": 3,
        "[masked: e-mail address]": None,
    }


def test_patterns_of_the_house():
    house = (HousePattern("customer number", "CUST-[0-9]{6}"), HousePattern("broken", "("))
    assert mask("ask CUST-123456", house) == "ask [masked: customer number]"
    check_pattern("CUST-[0-9]{6}")
    for bad in ("", "(", "a*", "(?=x)x", "x" * 301):
        with pytest.raises(UserError):
            check_pattern(bad)


@given(st.text(alphabet=st.sampled_from("a1@.+- ():=/_DE89\n"), max_size=300))
def test_spans_lie_apart_and_inside(text):
    spans = find(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
