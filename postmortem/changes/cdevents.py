"""CDEvents 0.4 and 0.5 that tell a change: services, merged changes, published artifacts. Pure."""

from collections.abc import Mapping
from typing import Any

from postmortem.changes.parse import read_change
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import part
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.values import short_text

_WORDS = {
    "service.deployed": "deployed", "service.upgraded": "upgraded", "service.rolledback": "rolled back",
    "service.removed": "removed", "change.merged": "merged", "artifact.published": "published",
}  # fmt: skip


def read_cdevent(data: Mapping[str, Any], context: Mapping[str, Any]) -> ChangeRecord | None:
    """The change that an event tells; None for one that tells none, like a build or a test run. Raises UserError."""
    kind = str(context["type"])
    predicate = next((name for name in _WORDS if kind.startswith(f"dev.cdevents.{name}.")), "")
    if not predicate:
        return None
    subject = data.get("subject")
    if not isinstance(subject, Mapping) or not isinstance(subject.get("content"), Mapping):
        raise UserError("A CDEvent needs a “subject” with “content”.")
    content, about = part(subject, "content"), short_text(subject.get("id"), 120)
    artifact = short_text(content.get("artifactId"))
    if predicate == "artifact.published":
        artifact = artifact or short_text(subject.get("id"))
    version = artifact.split("?", 1)[0].rsplit("@", 1)[-1] if "@" in artifact else ""
    environment = short_text(part(content, "environment").get("id"))
    in_service = predicate.startswith("service.")
    if in_service:
        summary = f"{about or 'service'} {_WORDS[predicate]} {artifact[:120]}"
    elif predicate == "change.merged":
        repository = short_text(part(content, "repository").get("id"), 120)
        summary = f"change {about} merged" + (f" in {repository}" if repository else "")
    else:
        summary = f"{artifact[:200]} published"
    return read_change(
        {
            "id": f"cdevents:{short_text(context.get('id'), 180)}", "layer": Layer.INFRASTRUCTURE.value,
            "at": short_text(context.get("timestamp"), 60), "summary": summary.strip(),
            # What is published or merged runs nowhere yet, so traces are not asked for its version.
            "facet": "release" if version and in_service else None, "to_version": version or None,
            "scope": {"environment": [environment]} if environment else {},
            "is_rollback": predicate == "service.rolledback",
        }
    )  # fmt: skip
