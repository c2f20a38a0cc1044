"""The small pure helpers that every room rests on."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from postmortem.lib.clock import describe_duration, format_moment, parse_moment, utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.lib.layers import LAYER_CHOICES, LAYERS, Layer
from postmortem.lib.markdown import render_markdown
from postmortem.lib.secret_file import read_or_create_secret

MOMENT = datetime(2026, 3, 9, 9, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["2026-03-09T09:40:00Z", "2026-03-09T10:40:00+01:00", "2026-03-09T09:40", " 2026-03-09 09:40:00.000+00:00 "],
)
def test_moments_are_read_into_utc(text):
    assert parse_moment(text) == MOMENT and parse_moment(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "1969-12-31T23:00Z", "9999-01-01", None, 5])
def test_what_is_no_moment_is_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match=r"^“.*\.$"):
        parse_moment(text)


def test_moments_are_written_alike_whatever_their_zone():
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert format_moment(elsewhere) == format_moment(MOMENT) == "2026-03-09T09:40:00.000Z"
    assert parse_moment(format_moment(utc_now())) <= utc_now()


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(days=4, hours=20, minutes=10), "4 d 20 h"),
        (timedelta(hours=2, minutes=20), "2 h 20 min"),
        (timedelta(minutes=3, seconds=30), "3 min"),
        (timedelta(seconds=45), "45 s"),
        (timedelta(0), "0 s"),
        (timedelta(hours=-2), "−2 h"),
        (timedelta(days=1, minutes=5), "1 d 5 min"),
    ],
)
def test_durations_in_words(duration, words):
    assert describe_duration(duration) == words


def test_equal_values_have_equal_bytes_and_hashes():
    first, second = {"b": [1, 2.5], "a": "é"}, {"a": "é", "b": [1, 2.5]}
    assert canonical_json(first) == canonical_json(second) == '{"a":"é","b":[1,2.5]}'.encode()
    assert json.loads(canonical_json(first)) == first
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for impossible, error in ((float("nan"), ValueError), (float("inf"), ValueError), ({1, 2}, TypeError)):
        with pytest.raises(error):
            canonical_json({"x": impossible})


def test_four_layers_by_name_label_and_shape():
    assert [str(layer) for layer in LAYERS] == ["model", "prompt", "retrieval", "infrastructure"]
    assert LAYER_CHOICES[2] == ("retrieval", "Retrieval")
    assert len({layer.glyph for layer in LAYERS}) == 4
    assert Layer("prompt") is Layer.PROMPT


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[link](javascript:alert(1))",
        '<a href="data:text/html,x">x</a>',
        "<style>*{display:none}</style>",
        "<p style='position:fixed'>x</p>",
        "<iframe src=//evil.example></iframe>",
        "<svg/onload=alert(1)>",
        "<form action=/sign-out/><button>x</button></form>",
        "[x](vbscript:x) ![y](http://evil.example/y.png)",
    ],
)
def test_hostile_markdown_is_harmless(hostile):
    html = render_markdown(hostile).lower()
    for word in (
        "<script",
        "onerror",
        "onload",
        'href="javascript',
        'href="data',
        "<style",
        "style=",
        "<iframe",
        "<svg",
    ):
        assert word not in html
    assert "<img" not in html and "<form" not in html and 'href="vbscript' not in html


def test_markdown_keeps_what_people_write():
    html = render_markdown("**bold** `code`\n\n- item\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[x](https://example.org)")
    for word in ("<strong>bold</strong>", "<code>code</code>", "<li>item</li>", "<td>1</td>"):
        assert word in html
    assert 'href="https://example.org" rel="noopener noreferrer nofollow"' in html
    assert render_markdown("# Title") == "<h3>Title</h3>" == render_markdown("## Title")
    assert '<td align="right">2</td>' in render_markdown("|a|b|\n|---|---:|\n|1|2|")


def test_a_picture_leaves_its_words():
    html = render_markdown("See ![recall, *falling*](https://example.org/a.png) and <img src=x onerror=alert(1)>.")
    assert html.strip() == "<p>See [picture: recall, *falling*] and [picture].</p>"
    assert "&lt;script" in render_markdown("![<script>](x)") and "<script" not in render_markdown("![<script>](x)")


def test_endless_markdown_is_cut_and_says_so():
    assert "cut after 100,000 characters" in render_markdown("word " * 30_000)


def test_errors_carry_what_people_need():
    conflict = EditConflict("Somebody saved first.", current={"title": "x"}, revision=3)
    assert isinstance(conflict, UserError) and str(conflict) == "Somebody saved first."
    assert conflict.current == {"title": "x"} and conflict.revision == 3


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "var" / "secret_key"
    first = read_or_create_secret(path)
    assert len(first) >= 48 and read_or_create_secret(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path):
    path = tmp_path / "secret_key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: read_or_create_secret(path), range(16)))
    assert secrets == {path.read_text().strip()}
