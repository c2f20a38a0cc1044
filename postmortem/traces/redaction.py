"""Secrets and personal data in text: where they are, and the text without them. No Django here.

Formats of keys and tokens come from detect-secrets (Yelp; its network checks are never called), telephone numbers
from libphonenumber, check digits of accounts and cards from python-stdnum. An administrator adds patterns of the
house; they run in RE2, whose time grows with the text and not with the pattern. Names of people are not found.
"""

import importlib
import ipaddress
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import detect_secrets.plugins
import phonenumbers
import re2
from detect_secrets.plugins.base import RegexBasedDetector
from stdnum import iban, luhn
from stdnum.us import ssn

from postmortem.lib.errors import UserError

MAX_PATTERN = 300
_MAX_DEPTH = 100
# Left out of detect-secrets: what is written next to a word and not by itself costs more than it finds here, and
# public addresses are checked below.
_LEFT_OUT = {"IPPublicDetector", "SoftlayerDetector", "CloudantDetector", "IbmCosHmacDetector", "PrivateKeyDetector"}


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` up to but not `end` hold something of `kind`, e.g. "e-mail address"."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class HousePattern:
    """A pattern that an administrator added: RE2 syntax, and what it finds."""

    kind: str
    pattern: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """`hint` (lower case) must be in the text before `pattern` is tried; `check` accepts or refuses a match.

    `needle` (RE2 syntax) is for matches that hold no such word: it finds something in every match of `pattern`.
    """

    kind: str
    pattern: Any
    hint: str = ""
    check: Callable[[str], bool] = lambda text: True
    group: int = 0
    needle: str = ""


def find(text: str, house: tuple[HousePattern, ...] = ()) -> list[Span]:
    """Secrets and personal data in `text`, in order, never overlapping; where two meet, the longer one counts."""
    if len(text) < 4:
        return []
    lower = text.lower()
    found: list[Span] = []
    at_hand = _at_hand(text)
    for rule in (*_rules(), *_house_rules(house)):
        if (rule.hint and rule.hint not in lower) or (rule.needle and rule.needle not in at_hand):
            continue
        for match in rule.pattern.finditer(text):
            start, end = _span(match, rule.group)
            if end > start and rule.check(text[start:end]):
                found.append(Span(start, end, rule.kind))
    return _apart(found)


def mask(text: str, house: tuple[HousePattern, ...] = ()) -> str:
    """`text` with everything that `find` finds replaced by "[masked: kind]"."""
    return without(text, find(text, house))


def without(text: str, spans: list[Span]) -> str:
    """`text` with these spans replaced by "[masked: kind]"."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], f"[masked: {span.kind}]"]
        at = span.end
    return "".join([*parts, text[at:]])


def mask_value(value: Any, house: tuple[HousePattern, ...] = (), depth: int = 0) -> Any:
    """JSON with every text in it masked, also the text of keys; what is nested deeper than 100 is left out."""
    if isinstance(value, str):
        return mask(value, house)
    if depth >= _MAX_DEPTH:
        return None
    if isinstance(value, Mapping):
        return {mask(str(key), house): _named(str(key), item, house, depth) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_value(item, house, depth + 1) for item in value]
    return value


def check_pattern(pattern: str) -> None:
    """Raise UserError unless `pattern` is a regular expression that RE2 knows and that matches no empty text."""
    if not pattern.strip() or len(pattern) > MAX_PATTERN:
        raise UserError(f"Write a pattern of 1 to {MAX_PATTERN} characters, for example CUST-[0-9]{{6}}.")
    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        reason = str(error.args[0] if error.args else error)[:120].strip("b'")
        raise UserError(f"This is not a pattern that RE2 knows ({reason}); look-around is not part of it.") from error
    if compiled.search("") is not None:
        raise UserError("This pattern matches nothing at all, so everything would be masked; make it longer.")


_SECRET_NAME = re.compile(r"(?i)(?:password|passwd|pass_?phrase|secret|api_?key|access_?token|authorization)$")


def _named(key: str, value: Any, house: tuple[HousePattern, ...], depth: int) -> Any:
    if isinstance(value, str) and value and _SECRET_NAME.search(key):
        return "[masked: secret]"
    return mask_value(value, house, depth + 1)


def _at_hand(text: str) -> set[str]:
    """The needles that are in `text`, all looked for in one pass: most texts have none, and most rules are spared."""
    needles, together = _needles()
    return {needles[place] for place in together.Match(text.encode("utf-8", "replace")) or ()}


@lru_cache(maxsize=1)
def _needles() -> tuple[list[str], Any]:
    needles = list(dict.fromkeys(rule.needle for rule in _rules() if rule.needle))
    together = re2.Set.SearchSet()
    for needle in needles:
        together.Add(needle)
    together.Compile()
    return needles, together


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    return (*_personal(), *_assigned(), *_of_detect_secrets())


def _personal() -> Iterator[_Rule]:
    yield _Rule("e-mail address", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}"), "@")
    yield _Rule("telephone number", re.compile(r"(?<![\w+])\+[1-9](?:[\s().-]{0,2}\d){6,14}(?!\d)"), "+", _is_phone)
    yield _Rule("telephone number", re.compile(r"(?<![\w(])\(\d{3}\) ?\d{3}[-. ]\d{4}(?!\d)"), "(", _is_us_phone)
    yield _Rule(
        "telephone number",
        re.compile(r"(?<![\w.-])\d{3}[-.]\d{3}[-.]\d{4}(?![\w-])"),
        "",
        _is_us_phone,
        needle=r"\p{Nd}{3}[-.]\p{Nd}{3}[-.]\p{Nd}{4}",
    )
    yield _Rule(
        "payment card",
        re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])"),
        "",
        _is_card,
        needle=r"[2-6]\p{Nd}{3}(?:[ -]?\p{Nd}){9}",
    )
    yield _Rule(
        "bank account",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b"),
        "",
        iban.is_valid,
        needle=r"[A-Z]{2}\p{Nd}{2}(?: ?[A-Z0-9]){11}",
    )
    yield _Rule(
        "social security number",
        re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
        "-",
        ssn.is_valid,
        needle=r"\p{Nd}{3}-\p{Nd}{2}-\p{Nd}{4}",
    )
    yield _Rule(
        "network address",
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)"),
        ".",
        _is_public,
        needle=r"\p{Nd}\.\p{Nd}{1,3}\.\p{Nd}",
    )
    yield _Rule(
        "network address",
        re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}"),
        ":",
        _is_public,
        needle=r"[0-9A-Fa-f]:[0-9A-Fa-f]{1,4}:",
    )


def _assigned() -> Iterator[_Rule]:
    """Secrets by the word before them: password=…, Authorization: Bearer …, and whole private keys."""
    begin = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    yield _Rule(
        "private key", re.compile(begin + r"[\s\S]{0,20000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY[A-Z ]{0,8}-----|\Z)"),
        "private key",
    )  # fmt: skip
    for word in ("password", "passwd", "secret", "api_key", "api-key", "apikey", "access_token"):
        value = r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"',;&]{6,200})"
        yield _Rule("secret", re.compile(rf"(?i){word}{value}"), word, group=1)
    yield _Rule(
        "secret",
        re.compile(r"(?i)\b(?:bearer|basic)\s{1,3}([A-Za-z0-9._~+/=-]{16,2000})"),
        "",
        group=1,
        needle="(?i)bearer|basic",
    )
    yield _Rule("web token", re.compile(r"\beyJ[\w-]{8,4000}(?:\.[\w-]{2,8000}){1,4}"), "eyj")
    yield _Rule("secret", re.compile(r"\b(?:sk|pk)-(?:lf|ant|proj|or)-[A-Za-z0-9_-]{16,200}"), "k-")


def _of_detect_secrets() -> Iterator[_Rule]:
    for module in sorted(pkgutil.iter_modules(detect_secrets.plugins.__path__), key=lambda item: item.name):
        members = vars(importlib.import_module(f"detect_secrets.plugins.{module.name}")).values()
        for kind in members:
            if not (isinstance(kind, type) and issubclass(kind, RegexBasedDetector)):
                continue
            if kind is RegexBasedDetector or kind.__name__ in _LEFT_OUT:
                continue
            detector = kind()
            for pattern in detector.denylist:
                yield _Rule(
                    str(detector.secret_type).split("(")[0].strip().lower(), pattern, _HINTS.get(kind.__name__, ""),
                    needle=_NEEDLES.get(kind.__name__, ""),
                )  # fmt: skip


# A word that every match of the detector holds, so that most texts cost one search instead of a regular expression.
_HINTS = {
    "BasicAuthDetector": "://",
    "DiscordBotTokenDetector": ".",
    "GitHubTokenDetector": "gh",
    "GitLabTokenDetector": "-",
    "IbmCloudIamDetector": "ibm",
    "JwtTokenDetector": "eyj",
    "MailchimpDetector": "-us",
    "NpmDetector": "npmjs",
    "OpenAIDetector": "sk-",
    "PypiTokenDetector": "pypi-",
    "SendGridDetector": "sg.",
    "SlackDetector": "x",
    "SquareOAuthDetector": "sq0csp",
    "StripeDetector": "_live_",
    "TelegramBotTokenDetector": ":",
    "AzureStorageKeyDetector": "accountkey=",
}


_NEEDLES = {
    "ArtifactoryDetector": r"AKC|AP[\p{Nd}A-F]",
    "AWSKeyDetector": "A3T|ABIA|ACCA|AKIA|ASIA|(?i:aws)",
    "SlackDetector": r"(?i)xox|hooks\.slack",
    "TwilioKeyDetector": "(?:AC|SK)[a-z0-9]{32}",
}


@lru_cache(maxsize=8)
def _house_rules(house: tuple[HousePattern, ...]) -> tuple[_Rule, ...]:
    rules = []
    for item in house:
        try:
            rules.append(_Rule(item.kind, re2.compile(item.pattern)))
        except re2.error:  # stored before a newer RE2 refused it; the others still mask
            continue
    return tuple(rules)


def _span(match: Any, group: int) -> tuple[int, int]:
    """The group that holds the secret itself: the one asked for, else the first that took part, else all."""
    if group:
        return int(match.start(group)), int(match.end(group))
    for position in range(1, len(match.groups()) + 1):
        if match.start(position) >= 0 and match.end(position) - match.start(position) >= 4:
            return int(match.start(position)), int(match.end(position))
    return int(match.start()), int(match.end())


def _apart(spans: Iterable[Span]) -> list[Span]:
    """Spans that meet become one over both: the kind is the longer one's, and nothing in between shows."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda item: (item.start, -item.end)):
        last = joined[-1] if joined else None
        if last is None or span.start >= last.end:
            joined.append(span)
        elif span.end > last.end:
            longer = span if span.end - span.start > last.end - last.start else last
            joined[-1] = Span(last.start, span.end, longer.kind)
    return joined


def _is_phone(text: str, region: str | None = None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False


def _is_us_phone(text: str) -> bool:
    return _is_phone(text, "US")


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and luhn.is_valid(digits)


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False
