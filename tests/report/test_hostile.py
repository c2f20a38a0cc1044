"""Hostile content in every view and format, in a process that is watched: no network, no files but fonts and styles."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.conf import settings

from postmortem.lib.markdown import render_markdown
from postmortem.report.documents import FORMATS, VIEWS
from postmortem.report.harmless import harmless
from postmortem.report.limits import CUT, TEXT_BUDGET, bounded

ROOT = Path(settings.BASE_DIR)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """What the process did while it rendered, by its audit hook and, where it may be used, by strace."""
    folder = tmp_path_factory.mktemp("watched")
    command = [sys.executable, "-m", "tests.report.hostile_render"]
    trace = folder / "calls.txt"
    strace = shutil.which("strace")
    if strace and subprocess.run([strace, "-o", os.devnull, "true"], check=False).returncode == 0:
        command = [strace, "-f", "--seccomp-bpf", "-e", "trace=network", "-o", str(trace), *command]
    environment = os.environ | {"POSTMORTEM_DATA_DIR": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    calls = trace.read_text().splitlines() if trace.exists() else []
    return json.loads(done.stdout), calls


def test_no_network_no_program_and_no_file_but_fonts_styles_and_templates(watched):
    seen, calls = watched
    places = (str(ROOT / "static" / "fonts"), str(ROOT / "static" / "report"), str(ROOT / "templates"))
    scratch = str(Path(tempfile.gettempdir()) / "weasyprint-")
    for event, what in seen["seen"]:
        assert event == "open", (event, what)
        if what.startswith(sys.prefix) and what.endswith((".py", ".pyc")):
            continue  # a module that is imported late
        assert what.startswith((*places, scratch)), what
    assert seen["seen"]
    network = [call for call in calls if "connect(" in call or "sendto(" in call or "sendmsg(" in call]
    assert network == []


def test_every_view_and_format_came_out_whole(watched):
    documents = watched[0]["documents"]
    outside = {f"external.full.{form}" for form in FORMATS if form != "pdf"}
    assert set(documents) == outside | {f"{view}.{form}" for view in VIEWS for form in FORMATS}
    for name, (size, _, leaked) in documents.items():
        assert size > 1_000 and not leaked, name
    assert documents["full.pdf"][0] < 5_000_000
    assert watched[0]["peak_mb"] < 600


def test_long_lists_are_cut_and_said_to_be():
    entries = [{"kind": "note", "text": str(n)} for n in range(10_000)] + [{"kind": "onset", "text": "onset"}] * 3
    found, phrases = bounded({"timeline": entries})
    assert len(found["timeline"]) == 500
    assert phrases == ["9,503 of 10,003 entries of the timeline"]


def test_the_incidents_own_moments_outlive_the_cut():
    entries = [{"kind": "change", "text": str(n)} for n in range(600)] + [{"kind": "onset", "text": "onset"}]
    found, _ = bounded({"timeline": entries})
    assert found["timeline"][-1]["text"] == "onset"


def test_texts_share_one_budget_and_short_ones_stay_whole():
    found, _ = bounded({"a": ["x" * 20_000] * 50, "b": ["short"] * 50})
    assert sum(len(text) for text in found["a"]) <= TEXT_BUDGET + 50 * len(CUT)
    assert all(text.endswith(CUT) for text in found["a"]) and found["b"] == ["short"] * 50
    assert bounded({"a": "x" * 1_000})[0] == {"a": "x" * 1_000}


def test_marks_do_not_run_over_the_lines_above():
    assert harmless("a" + "\u0301" * 60 + "b e\u0301") == "a" + "\u0301" * 4 + "b e\u0301"


def test_brackets_without_end_do_not_hold_up_markdown():
    assert "&#91;" in render_markdown("[" * 20_000) or "[" in render_markdown("[" * 20_000)
    assert render_markdown("[a](https://example.org)").count("<a ") == 1
