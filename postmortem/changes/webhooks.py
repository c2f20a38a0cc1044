"""Signed webhooks that tell changes: is it genuine, and which changes does it tell. Pure.

Sources: Standard Webhooks 1.0 (standardwebhooks.com), Langfuse's prompt webhook, GitHub's, GitLab's and MLflow's
webhooks, CloudEvents 1.0 (structured and binary), CDEvents (cdevents.py).
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postmortem.changes import github_changes, gitlab_changes, mlflow_changes
from postmortem.changes.cdevents import read_cdevent
from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.parse import read_change
from postmortem.changes.prompts import change_id, production_move
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import part
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.values import short_text

MAX_BODY_BYTES = 1024 * 1024
TOLERANCE_SECONDS = 300.0
_MOST_CHANGES = 500
NO_OPTIONS = FeedOptions()
Headers = Mapping[str, str]


class Forged(Exception):
    """The signature, its age or its form is not what the secret would make."""


@dataclass(frozen=True, slots=True)
class _PromptVersion:
    name: str
    version: int
    created_at: datetime
    commit_message: str | None
    created_by: str | None


def delivery_id(kind: str, headers: Headers, body: bytes, secret: str, now: float) -> str:
    """Check the signature of a delivery and return the id that it may come under once.

    `headers` have lower-case names, `now` is seconds since 1970. Raises Forged.
    """
    if kind == "langfuse":
        parts = dict(part.split("=", 1) for part in headers.get("x-langfuse-signature", "").split(",") if "=" in part)
        stamp = parts.get("t", "")
        _fresh(stamp, now)
        _same(parts.get("v1", ""), _hex(secret, f"{stamp}.".encode() + body))
        return f"{stamp}:{hashlib.sha256(body).hexdigest()}"
    if kind == "github":
        _same(headers.get("x-hub-signature-256", ""), "sha256=" + _hex(secret, body))
        identifier = headers.get("x-github-delivery", "")
        if not identifier:
            raise Forged
        # GitHub signs no time, so what came once under this body never counts again.
        return hashlib.sha256(body).hexdigest()
    if kind == "gitlab":
        # GitLab sends the secret itself and signs nothing; every event has a body of its own.
        _same(headers.get("x-gitlab-token", ""), secret)
        return hashlib.sha256(body).hexdigest()
    if kind == "mlflow":  # Standard Webhooks but for the names of the headers and the key, which is the text itself
        names, key = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"), secret.encode()
    elif kind == "standard":
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Forged from error
    else:
        raise Forged  # what is pulled takes no deliveries
    identifier, stamp, signatures = (headers.get(name, "") for name in names)
    _fresh(stamp, now)
    wanted = base64.b64encode(hmac.digest(key, f"{identifier}.{stamp}.".encode() + body, "sha256")).decode()
    given = [signature.removeprefix("v1,") for signature in signatures.split() if signature.startswith("v1,")]
    if not identifier or not any(hmac.compare_digest(one.encode(), wanted.encode()) for one in given):
        raise Forged
    # Ids of any length are told apart, and none is longer than the column that keeps it.
    return identifier if len(identifier) <= 200 else hashlib.sha256(identifier.encode()).hexdigest()


def records_of(kind: str, headers: Headers, body: bytes, options: FeedOptions = NO_OPTIONS) -> list[ChangeRecord]:
    """The changes that a genuine delivery tells; none for an event that tells no change (a ping, a failed deployment).

    `options` name the paths and environments of a GitHub or GitLab feed.

    Raises UserError with one sentence for what cannot be read.
    """
    value = _read(body, may_be_lines=kind == "standard")
    if kind == "langfuse":
        return _langfuse(_object(value))
    if kind == "github":
        return github_changes.read_event(headers.get("x-github-event", ""), _object(value), options)
    if kind == "gitlab":
        return gitlab_changes.read_event(_object(value), options)
    if kind == "mlflow":
        return mlflow_changes.read_event(_object(value), options)
    entries = value if isinstance(value, list) else [value]
    if len(entries) > _MOST_CHANGES:
        raise UserError(f"The delivery tells more than {_MOST_CHANGES} changes; send several.")
    if len(entries) > 1 and "ce-specversion" in headers:
        raise UserError("A binary CloudEvent tells one change; send a list in the open format or several events.")
    return [record for entry in entries if (record := _generic(_object(entry), headers)) is not None]


def merged_project(kind: str, headers: Headers, body: bytes) -> str:
    """The project in which a delivery tells a merge without its files, else nothing: worth a pull at once."""
    if kind not in {"github", "gitlab"}:
        return ""
    value = _object(_read(body, may_be_lines=False))
    if kind == "github":
        told = headers.get("x-github-event") == "pull_request" and part(value, "pull_request").get("merged") is True
        return short_text(part(value, "repository").get("full_name")) if told else ""
    told = value.get("object_kind") == "merge_request" and part(value, "object_attributes").get("action") == "merge"
    return short_text(part(value, "project").get("path_with_namespace")) if told else ""


def _read(body: bytes, *, may_be_lines: bool) -> Any:
    """JSON, or where they may be, JSON Lines as a list."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        lines = [line for line in body.splitlines() if line.strip()]
        if not may_be_lines or len(lines) < 2:
            raise UserError("The body is not JSON.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line, parse_constant=_refuse))
        except (ValueError, RecursionError) as error:
            raise UserError(f"Line {number} of the body is not JSON.") from error
    return found


def _generic(entry: dict[str, Any], headers: Headers) -> ChangeRecord | None:
    """The open format, a CDEvent, or a CloudEvent around either; binary CloudEvents put their facts in headers."""
    identifier, moment, kind, data = "", "", "", entry
    if "specversion" in entry:
        identifier, moment, kind = (str(entry.get(name) or "") for name in ("id", "time", "type"))
        data = _object(entry.get("data") or {})
    elif "ce-specversion" in headers:
        identifier, moment, kind = (headers.get(f"ce-{name}", "") for name in ("id", "time", "type"))
    context = data.get("context")
    if isinstance(context, Mapping) and str(context.get("type", "")).startswith("dev.cdevents."):
        return read_cdevent(data, context)
    if kind.startswith("dev.cdevents."):
        raise UserError("A CDEvent needs its “context” and “subject” in the data.")
    fields = dict(data)
    fields.setdefault("id", identifier)
    fields.setdefault("at", moment)
    return read_change(fields)


def _langfuse(event: dict[str, Any]) -> list[ChangeRecord]:
    prompt = event.get("prompt")
    if event.get("type") != "prompt-version" or not isinstance(prompt, Mapping):
        raise UserError("This is no prompt-version event; let the webhook send prompt events alone.")
    if event.get("action") == "deleted":
        return []
    name, version = str(prompt.get("name") or "")[:200], prompt.get("version")
    if not name or not isinstance(version, int) or isinstance(version, bool):
        raise UserError("The prompt needs a name and a whole number as version.")
    labels = prompt.get("labels")
    live = isinstance(labels, list) and "production" in labels
    moved = event.get("action") == "updated"
    if moved and not live:
        return []  # the other half of a label move
    at = _moment(prompt.get("updatedAt") if moved else prompt.get("createdAt"), event.get("timestamp"))
    message, author = str(prompt.get("commitMessage") or ""), str(prompt.get("createdBy") or "")
    made = _PromptVersion(name, version, at, message, author)
    if moved:
        return [production_move(made, at)]
    first = message.strip().split("\n")[0]
    return [
        ChangeRecord(
            id=change_id(made), layer=Layer.PROMPT, at=at, until=at, scope={"prompt": (name,)}, facet="prompt_version",
            to_version=str(version), summary=(f"Prompt {name} v{version}" + (f": {first}" if first else ""))[:300],
            actor=author[:200],
        )
    ]  # fmt: skip


def _moment(*values: object) -> datetime:
    for value in values:
        try:
            return parse_moment(str(value))
        except (ValueError, OverflowError):
            continue
    raise UserError("The event names no time.")


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError("A change is told as a JSON object.")
    return value


def _fresh(stamp: str, now: float) -> None:
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 12 or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise Forged


def _hex(secret: str, data: bytes) -> str:
    return hmac.digest(secret.encode(), data, "sha256").hex()


def _same(given: str, wanted: str) -> None:
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Forged


def _refuse(name: str) -> None:
    raise ValueError(name)
