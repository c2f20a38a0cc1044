"""Renders a hostile record in every view and format while it watches the process; prints what it saw as JSON.

Run as a command in a process of its own: an audit hook cannot be taken away again.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
import django

django.setup()

from postmortem.lib.hashing import canonical_json, sha256_hex  # noqa: E402
from postmortem.report.documents import FORMATS, VIEWS, make_document  # noqa: E402

SAMPLE = Path(__file__).parent / "record-1-sample.json"
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=file:///etc/passwd onerror=alert(1)>",
    "<img src='http://169.254.169.254/latest/meta-data'>",
    "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(2)'><script>alert(3)</script>"
    "<image href='file:///etc/hostname'/><foreignObject><iframe src='http://10.0.0.1/'></iframe></foreignObject></svg>",
    "<style>@import url(http://127.0.0.1:9/x.css);*{position:fixed;inset:0;background:url(file:///etc/passwd)}</style>",
    "<div style='position:fixed;top:0;left:0;width:100%;height:100%;background:#fff;z-index:9'>PUBLISHED</div>",
    "<link rel=attachment href='file:///etc/passwd'><object data='file:///etc/passwd'></object>",
    "![x](file:///etc/shadow) ![y](http://192.168.0.1/y.png) ![z](data:image/svg+xml;base64,PHN2Zy8+)",
    "[go](javascript:alert(4)) [f](file:///etc/passwd) <base href='file:///'>",
    "\u202egnihtemos\u202c \u2066isolate\u2069 \u200fmark\u200e \x00\x07\x1b[31m \ufffe",
    "{{ settings.SECRET_KEY }} {% include '/etc/passwd' %} ${jndi:ldap://127.0.0.1/a}",
    "&lt;script&gt; ]]> --> <!-- <![CDATA[ <?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(5)></style></mglyph></table></mtext></math>",
    "a\u0300" + "\u0301" * 60 + " " + "\U0001f468\u200d\U0001f469\u200d\U0001f467",
)
_KEPT = {
    "schema", "layer", "kind", "number", "verdict", "proposed", "status", "role", "worse", "rollout", "state", "unit",
    "key", "value", "sha256", "content_sha256", "inputs_sha256", "id", "change", "changes", "cuts", "cause", "effect",
    "severity", "due_on", "facet", "answer",
}  # fmt: skip


def hostile_record(*, field_bytes: int, entries: int) -> dict:
    """The sample with every free text an attack, one field of `field_bytes`, and `entries` on the timeline."""
    record = json.loads(SAMPLE.read_text())
    number = {"label": "With it", "estimate": -0.1, "interval": [-0.2, -0.1], "count": 9, "unit": "share",
              "signed": True}  # fmt: skip
    record["finding"]["result"]["patterns"] = [
        {"number": 1, "pattern": "churn", "title": "Churn", "layer": "retrieval", "answer": "match",
         "sentence": "It moved.", "numbers": [number], "missing": ["a recall probe"], "traces": ["trace-1"]}
    ]  # fmt: skip
    count = iter(range(10_000_000))

    def poison(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: one if name in _KEPT else poison(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [poison(one, key) for one in value]
        if isinstance(value, str) and value and not value[:4].isdigit():
            return value + " " + ATTACKS[next(count) % len(ATTACKS)]
        return value

    for part in ("text", "participants", "timeline", "layers", "factors", "actions", "evidence", "changes", "finding"):
        record[part] = poison(record[part])
    record["incident"]["title"] += " " + ATTACKS[0]
    for name, attack in zip(record["text"], ATTACKS, strict=False):
        record["text"][name] += "\n\n" + "\n\n".join(ATTACKS) + attack
    record["text"]["impact"] = "x[<" * (field_bytes // 3)
    first = record["timeline"][0]
    record["timeline"] += [
        first | {"kind": "note", "source": "note", "text": f"Entry {number} {ATTACKS[number % 3]}"}
        for number in range(entries)
    ]
    return record


def main() -> None:
    """Warm up once with the plain sample, then watch."""
    sample = json.loads(SAMPLE.read_text())
    sha256 = sha256_hex(canonical_json(sample))
    make_document(sample, view="brief", form="pdf", version=1, sha256=sha256)
    for view in VIEWS:
        make_document(sample, view=view, form="html", version=None, sha256="")
    record = hostile_record(field_bytes=5_000_000, entries=10_000)
    seen: list[list[str]] = []
    watching = [True]

    def watch(event: str, args: tuple) -> None:
        if not watching[0]:
            return
        if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "urllib.",
                             "ftplib.", "http.", "smtplib.", "webbrowser.")):  # fmt: skip
            seen.append([event, str(args)[:200]])
        elif event == "open":
            seen.append(["open", os.fspath(args[0]) if isinstance(args[0], str | os.PathLike) else str(args[0])])

    sys.addaudithook(watch)
    sys.stderr.write("WATCHING\n")
    sys.stderr.flush()
    found = {}
    wanted = [(view, form, "internal") for view in VIEWS for form in FORMATS]
    for view, form, audience in [*wanted, *(("full", form, "external") for form in FORMATS if form != "pdf")]:
        begun = time.perf_counter()
        data = make_document(record, view=view, form=form, version=1, sha256="ab" * 32, audience=audience).data
        found[f"{view}.{form}" if audience == "internal" else f"{audience}.{view}.{form}"] = [
            len(data),
            round(time.perf_counter() - begun, 2),
            b"root:" in data,
        ]
    watching[0] = False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seen": seen, "documents": found, "peak_mb": round(peak)}))


if __name__ == "__main__":
    main()
