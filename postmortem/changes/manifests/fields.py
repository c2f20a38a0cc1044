"""Fields of a manifest: their names, their bounds, and one sentence for each mistake. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from postmortem.changes.manifests.shapes import Document, Header, Kind, TrainingRow
from postmortem.lib.clock import parse_moment
from postmortem.lib.errors import UserError

NOT_JSON = object()  # stands for a line that is none
MAX_ID, MAX_HASH, MAX_TEXT, MAX_VALUE = 400, 200, 300, 200
MAX_SETTINGS = 40
LISTS = ("documents", "rows", "entries", "files")  # what a JSON manifest calls its entries
_UNTOLD = frozenset({"", "unknown", "none", "null", "n/a", "na", "-", "?", "tbd", "unassigned"})
_ID = ("id", "document_id", "doc_id", "row_id", "path", "uri")
_HASH = ("hash", "sha256", "content_hash", "content_sha256", "checksum", "etag", "md5")
_EMBEDDED = ("embedded_at", "embedding_date", "indexed_at")
_REVIEWER = ("reviewer", "reviewed_by", "reviewers", "approved_by")
_AUTHOR = ("author", "written_by", "authors", "annotator", "created_by")
_LICENCE = ("licence", "license", "spdx")
_TOPIC = ("topic", "intent", "topics", "category")
_NAMES = {"corpus": ("index", "name", "corpus", "collection"), "training": ("dataset", "name", "data_set")}
_VERSIONS = {"corpus": ("version", "index_version"), "training": ("version", "dataset_version")}
_AT = ("at", "created_at", "built_at", "generated_at", "date")
_ONLY_CORPUS = frozenset({"index", "corpus", "collection", "encoder", "chunking", "documents", "index_version"})
_ONLY_TRAINING = frozenset({"dataset", "data_set", "rows", "dataset_version", "topic_facet", "model_version"})
_NOT_SETTINGS = frozenset(
    {*_AT, *LISTS, "kind", "source", "scope", "gold_documents", "topic_facet", "model_version", "count", "about",
     "$schema", *(name for names in (*_NAMES.values(), *_VERSIONS.values()) for name in names)}
)  # fmt: skip


def is_header(value: Mapping[str, Any]) -> bool:
    """Whether a first line tells about the whole and not about one entry."""
    return not any(name in value for name in (*_ID, *_HASH)) or bool(value.keys() & {"index", "dataset", "encoder"})


def kind_of(told: Mapping[str, Any], value: Any) -> Kind | None:
    """What a manifest is about, by what a person says, else by its fields; None when neither tells.

    Raises UserError for a kind that there is not.
    """
    named = str(told.get("kind") or (value.get("kind") if isinstance(value, Mapping) else "") or "").strip().lower()
    if named in ("corpus", "index"):
        return "corpus"
    if named == "training":
        return "training"
    if named:
        raise UserError(f"A manifest is of the kind corpus or training, not “{named[:40]}”.")
    if not isinstance(value, Mapping):
        return None
    if value.keys() & _ONLY_TRAINING or any(name in value for name in (*_AUTHOR, *_REVIEWER, *_LICENCE)):
        return "training"
    return "corpus" if value.keys() & _ONLY_CORPUS or any(name in value for name in _HASH) else None


def header_of(kind: Kind, fields: Mapping[str, Any], told: Mapping[str, str], what: str) -> Header:
    """What the file says of the whole, and what a person told, which wins.

    Raises UserError naming the field that is wrong or missing.
    """
    thing = _NAMES[kind][0]
    try:
        return _header(kind, {**fields, **{thing if name == "name" else name: value for name, value in told.items()}})
    except UserError as error:
        raise UserError(f"{what}: {str(error).rstrip('.')}.") from error


def _header(kind: Kind, fields: Mapping[str, Any]) -> Header:
    thing = "index" if kind == "corpus" else "dataset"
    name = text_of(fields, _NAMES[kind], 120)
    if not name:
        raise UserError(f"the field “{thing}” is missing; say which {thing} this is a manifest of.")
    version = text_of(fields, _VERSIONS[kind], MAX_VALUE)
    if not version:
        raise UserError(f"the field “version” is missing; say which version of {name} this is.")
    at = _moment(fields, _AT)
    if at is None:
        raise UserError("the field “at” is missing; write when this version went live, like 2026-03-09T09:40:00Z.")
    scope = fields.get("scope")
    if scope is not None and not isinstance(scope, Mapping):
        raise UserError("the field “scope” must be an object of facets and values.")
    return Header(
        kind, name, version, at,
        source=text_of(fields, ("source",), 1000), settings=_settings(fields), scope=dict(scope or {}),
        model_version=text_of(fields, ("model_version",), MAX_VALUE),
        topic_facet=text_of(fields, ("topic_facet",), 80) or "intent",
    )  # fmt: skip


def read_document(value: Any) -> tuple[str, Document]:
    """Id and facts of one document. Raises UserError naming the field, without where it stands."""
    _object(value)
    identifier = text_of(value, _ID, MAX_ID)
    if not identifier:
        raise UserError("the field “id” is missing")
    content = text_of(value, _HASH, MAX_HASH)
    if not content:
        raise UserError("the field “hash” is missing")
    gold = value.get("gold", value.get("is_gold"))
    if gold is not None and not isinstance(gold, bool):
        raise UserError("field “gold”: write true or false")
    return identifier, Document(
        content, _moment(value, _EMBEDDED), text_of(value, ("encoder",), MAX_VALUE), bool(gold),
        text_of(value, ("superseded_by",), MAX_ID),
    )  # fmt: skip


def read_training_row(value: Any) -> tuple[str, TrainingRow]:
    """Id and facts of one training row; a row without id is known by its hash. Raises UserError naming the field."""
    _object(value)
    content = text_of(value, _HASH, MAX_HASH)
    identifier = text_of(value, _ID, MAX_ID) or content
    if not identifier:
        raise UserError("the field “id” is missing, and there is no “hash” to know the row by")
    return identifier, TrainingRow(
        content, text_of(value, ("source",), MAX_TEXT), _person(value, _AUTHOR), _person(value, _REVIEWER),
        _person(value, _LICENCE), text_of(value, _TOPIC, MAX_VALUE),
    )  # fmt: skip


def text_of(fields: Mapping[str, Any], names: tuple[str, ...], longest: int) -> str:
    """The first of these fields that is told, as text; a list is joined. Raises UserError for anything else."""
    for name in names:
        value = fields.get(name)
        if value is None or value == "":
            continue
        if type(value) is not str:
            value = _plain(name, value)
        value = value.strip()
        if len(value) > longest:
            raise UserError(f"field “{name}”: longer than {longest} characters")
        if "\x00" in value:
            raise UserError(f"field “{name}”: a character with the code 0 has no place in a text")
        if value:
            return str(value)
    return ""


def _plain(name: str, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    if isinstance(value, Mapping) and isinstance(value.get("name") or value.get("id"), str):
        return str(value.get("name") or value.get("id"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise UserError(f"field “{name}”: must be text")


def _person(fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """A name, or nothing where the manifest only says that nobody knows."""
    value = text_of(fields, names, MAX_TEXT)
    return "" if value.lower() in _UNTOLD else value


def _moment(fields: Mapping[str, Any], names: tuple[str, ...]) -> datetime | None:
    for name in names:
        value = fields.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise UserError(f"field “{name}”: write a date and time like 2026-03-09T09:40:00Z")
        try:
            return parse_moment(value)
        except (ValueError, OverflowError) as error:
            raise UserError(f"field “{name}”: {str(error).rstrip('.')}") from error
    return None


def _settings(fields: Mapping[str, Any]) -> dict[str, str]:
    """Everything else that is said of the whole, flat: {"chunking.size": "400"}."""
    found: dict[str, str] = {}
    for name, value in fields.items():
        if name in _NOT_SETTINGS:
            continue
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": _setting(each) for inner, each in value.items() if each is not None}
        elif value is not None and value != "":
            found[name] = _setting(value)
    if len(found) > MAX_SETTINGS:
        raise UserError(f"more than {MAX_SETTINGS} settings are told of the whole; leave out what does not matter.")
    bad = next((name for name, text in found.items() if len(name) > 80 or len(text) > MAX_VALUE or "\x00" in text), "")
    if bad:
        raise UserError(f"field “{bad[:80]}”: longer than {MAX_VALUE} characters")
    for name in ("id", "name"):  # {"encoder": {"id": "e5", "version": "2"}}
        if f"encoder.{name}" in found and "encoder" not in found:
            found["encoder"] = found.pop(f"encoder.{name}")
    if "encoder.version" in found:
        found.setdefault("encoder_version", found.pop("encoder.version"))
    return dict(sorted(found.items()))


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(map(str, value))
    raise UserError("a setting of the whole must be text, a number, or an object of them.")


def _object(value: Any) -> None:
    if value is NOT_JSON:
        raise UserError("this is not JSON")
    if type(value) is not dict:
        raise UserError("this is not a JSON object")
