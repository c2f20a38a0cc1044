"""MLflow's model registry as changes, from REST and from its webhooks (MLflow 3.3 and newer). Pure.

Versions as they are registered, moves of stages and aliases.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from postmortem.changes.feed_options import FeedOptions
from postmortem.changes.parse import read_change
from postmortem.changes.records import ChangeRecord
from postmortem.changes.repository_changes import part, short_name, web_link
from postmortem.lib.clock import format_moment
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.values import moment, short_text

NO_STAGE = "None"
_VERSIONS = {"model_version", "prompt_version"}
_ENTITIES = _VERSIONS | {"model_version_alias", "prompt_alias"}
_PROMPT_TAGS = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]


def read_event(body: Mapping[str, Any], options: FeedOptions) -> list[ChangeRecord]:
    """The change that a webhook tells: a version or an alias, of a model or a prompt; else none. Raises UserError."""
    entity, action, data = short_text(body.get("entity")), short_text(body.get("action")), part(body, "data")
    if entity not in _ENTITIES or action not in {"created", "deleted"} or (entity in _VERSIONS and action == "deleted"):
        return []
    if options.models and data.get("name") not in options.models:
        return []
    at = moment(body.get("timestamp"))
    if at is None:
        raise UserError("The event names no time.")
    told = {"name": data.get("name"), "description": data.get("description"), "tags": _PROMPT_TAGS}
    if entity in {"model_version", "model_version_alias"}:
        told["tags"] = []
    if entity in _VERSIONS:
        told |= {"version": data.get("version"), "creation_timestamp": at.timestamp() * 1000}
        return [version_change(told, base="", facet=options.facet)]
    after = version_of(data) if action == "created" else ""
    alias = short_text(data.get("alias"), 250).strip()
    if not alias:
        raise UserError("MLflow names no alias.")
    return [alias_change(told, alias, before="", after=after, since=at, until=at, base="", facet=options.facet)]


def version_change(told: Mapping[str, Any], *, base: str, facet: str = "") -> ChangeRecord:
    """A version of a registered model, at the moment of its registration. `base` is the server's address."""
    name, version = name_of(told), version_of(told)
    at = moment_of(told, "creation_timestamp")
    note = short_text(told.get("description"), 300).strip().split("\n")[0]
    return read_change(
        _fields(told, name, base)
        | {
            "id": version_id(name, version), "at": format_moment(at), "to_version": version,
            "summary": f"{_what(told)} {name} version {version} registered"[:250] + (f": {note}" if note else ""),
        }
        | _facet(facet, version)
    )  # fmt: skip


def stage_change(told: Mapping[str, Any], before: str, *, base: str, facet: str = "") -> ChangeRecord:
    """A version that moved to another stage since it was last seen in `before`."""
    name, version, stage = name_of(told), version_of(told), stage_of(told)
    at = moment_of(told, "last_updated_timestamp")
    live = stage == "Production"
    return read_change(
        _fields(told, name, base)
        | {
            "id": f"mlflow:{short_name(name)}:stage:{version}:{stage[:20]}:{int(at.timestamp())}",
            "at": format_moment(at), "to_version": version,
            "summary": f"{_what(told)} {name} version {version}: stage {before} → {stage}",
        }
        | (_facet(facet, version) if live else {})
    )  # fmt: skip


def alias_change(
    told: Mapping[str, Any], alias: str, *, before: str, after: str, since: datetime, until: datetime, base: str,
    facet: str = "",
) -> ChangeRecord:  # fmt: skip
    """An alias that moved between two looks. MLflow keeps no time of it, so it is a ramp from one look to the other.

    Its id holds the look before it, which stays the same when a pull breaks off and looks again.
    """
    name = name_of(told)
    moved = f"v{before} → v{after}" if before and after else f"set to v{after}"
    if not after:
        moved = f"taken from v{before}" if before else "taken away"
    return read_change(
        _fields(told, name, base)
        | {
            "id": f"{alias_prefix(name, alias, after)}{int(since.timestamp())}",
            "at": format_moment(since), "until": format_moment(until),
            "rollout": "ramp" if until > since else "instant",
            "from_version": before or None, "to_version": after or None,
            "summary": f"{_what(told)} {name}: alias {alias} {moved}"[:300],
            "details": {"alias": alias} | ({"time": "between two looks at the registry"} if until > since else {}),
        }
        | (_facet(facet, after) if after else {})
    )  # fmt: skip


def alias_prefix(name: str, alias: str, after: str) -> str:
    """How the ids of all moves of an alias to one version begin; what follows is the time."""
    return f"mlflow:{short_name(name)}:alias:{short_name(alias, 30)}:{after or 'none'}:"


def version_id(name: str, version: str) -> str:
    """The id under which a version is logged."""
    return f"mlflow:{short_name(name)}:version:{version}"


def name_of(told: Mapping[str, Any]) -> str:
    """The registered model's name. UserError where there is none."""
    if name := short_text(told.get("name"), 250).strip():
        return name
    raise UserError("MLflow names no model.")


def version_of(told: Mapping[str, Any]) -> str:
    """The version's number as text. UserError where there is none."""
    if version := short_text(told.get("version"), 30).strip():
        return version
    raise UserError("MLflow names no version of the model.")


def stage_of(told: Mapping[str, Any]) -> str:
    """The stage, "None" where there is none, as newer servers have it throughout."""
    return short_text(told.get("current_stage"), 40).strip() or NO_STAGE


def aliases_of(told: Mapping[str, Any]) -> dict[str, str]:
    """A registered model's aliases and the versions behind them."""
    given = told.get("aliases")
    found = [entry for entry in given if isinstance(entry, Mapping)] if isinstance(given, list) else []
    return {
        short_text(entry.get("alias"), 250): short_text(entry.get("version"), 30)
        for entry in found[:200]
        if entry.get("alias") and entry.get("version")
    }


def moment_of(told: Mapping[str, Any], name: str) -> datetime:
    """Milliseconds since 1970 as UTC. UserError for anything else."""
    value = told.get(name)
    found = moment(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 16 else value)
    if found is None:
        raise UserError("MLflow names no time for a version.")
    return found


def _fields(told: Mapping[str, Any], name: str, base: str) -> dict[str, Any]:
    version = short_text(told.get("version"), 30)
    address = f"{base}/#/models/{name}" + (f"/versions/{version}" if version else "")
    return {
        "layer": (Layer.PROMPT if _is_prompt(told) else Layer.MODEL).value, "actor": short_text(told.get("user_id")),
        "link": web_link(address.replace(" ", "%20")),
    }  # fmt: skip


def _facet(facet: str, version: str) -> dict[str, Any]:
    return {"facet": facet, "to_version": version} if facet else {}


def _what(told: Mapping[str, Any]) -> str:
    return "Prompt" if _is_prompt(told) else "Model"


def _is_prompt(told: Mapping[str, Any]) -> bool:
    """MLflow keeps prompts in the same registry, with a tag on them."""
    tags = told.get("tags")
    return isinstance(tags, list) and any(
        isinstance(tag, Mapping) and tag.get("key") == "mlflow.prompt.is_prompt" and str(tag.get("value")) == "true"
        for tag in tags
    )
