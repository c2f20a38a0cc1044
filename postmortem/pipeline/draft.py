"""A draft from the endpoint that an administrator configured: one bounded call, to that address and to no other."""

import json
import time
from typing import Any

import httpx

from postmortem.accounts import audit
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import canonical_json, sha256_hex
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.report.draft_settings import drafting_settings
from postmortem.report.drafting import Fact, as_rows, checked_sentences, facts_of, messages_for
from postmortem.report.external import for_outside
from postmortem.report.models import DraftingSettings, MachineDraft
from postmortem.report.record import assemble_record
from postmortem.report.summaries import FIELDS
from postmortem.traces.redaction import mask
from postmortem.traces.secret_keys import decrypt
from postmortem.traces.texts import house_patterns

_MOST_BYTES = 200_000
_MOST_TOKENS = 900
_TIMEOUT_SECONDS, _DEADLINE_SECONDS = 30.0, 90.0
_OK = 200


def draft_text(run: Run, progress: Progress) -> str:
    """The stage: send the facts, check what comes back, keep it as a machine-made draft. Raises UserError."""
    field, stored = run.payload["field"], drafting_settings()
    if not stored.enabled:
        raise UserError("Drafts by a model are turned off; an administrator can turn them on.")
    facts = facts_to_send(run.incident)
    progress.save(text=f"{len(facts)} facts are sent to {stored.model}.")
    answer = _ask(stored, messages_for(field, facts))
    try:
        sentences = checked_sentences(answer, facts)
    except ValueError as error:
        raise UserError(f"{stored.model} answered, but {error}; ask again or choose another model.") from error
    if not sentences:
        raise UserError(f"{stored.model} answered without a sentence; ask again.")
    sent = [{"id": fact.id, "text": fact.text, "place": fact.place} for fact in facts]
    MachineDraft.objects.create(
        incident=run.incident, field=field, model=stored.model, sent=sent, sentences=as_rows(sentences),
        asked_by=run.started_by,
    )  # fmt: skip
    audit.record(
        person=run.started_by, action="text.draft", subject=FIELDS[field], incident_number=run.incident.number,
        after={"model": stored.model, "sent_sha256": sha256_hex(canonical_json({"facts": sent}))},
    )  # fmt: skip
    doubts = sum(bool(one.doubt) for one in sentences)
    return f"{len(sentences)} sentences by {stored.model}, {doubts or 'none'} of them unsupported."


def facts_to_send(incident: Incident) -> list[Fact]:
    """What would leave for a draft: facts of the copy for readers outside, with secrets and personal data masked."""
    house = house_patterns()
    return facts_of(for_outside(assemble_record(incident)), mask=lambda text: mask(text, house))


def _ask(stored: DraftingSettings, messages: list[dict[str, str]]) -> str:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    if stored.api_key:
        headers["Authorization"] = f"Bearer {decrypt(bytes(stored.api_key))}"
    body = {"model": stored.model, "messages": messages, "temperature": 0, "max_tokens": _MOST_TOKENS, "stream": False}
    try:
        with httpx.Client(
            timeout=_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False
        ) as client, client.stream(
            "POST", f"{stored.base_url}/chat/completions", content=json.dumps(body), headers=headers
        ) as answer:  # fmt: skip
            if answer.status_code != _OK:
                raise UserError(f"The endpoint of the drafts answered {answer.status_code}; ask an administrator.")
            data = _bounded(answer)
    except httpx.HTTPError as error:
        raise UserError(f"The endpoint of the drafts cannot be reached ({type(error).__name__}).") from error
    return _content(data)


def _bounded(answer: httpx.Response) -> bytes:
    until, data = time.monotonic() + _DEADLINE_SECONDS, bytearray()
    for chunk in answer.iter_raw():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise UserError("The endpoint of the drafts sent more than 200 kB; the answer was dropped.")
        if time.monotonic() > until:
            raise UserError("The endpoint of the drafts took longer than 90 s; the answer was dropped.")
    return bytes(data)


def _content(data: bytes) -> str:
    try:
        found: Any = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise UserError("The endpoint of the drafts did not answer as an OpenAI-compatible one does.") from error
    if not isinstance(found, str):
        raise UserError("The endpoint of the drafts answered without a text.")
    return found
