"""Connections: which projects of which trace servers may be read, and with what keys."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.traces import secret_keys
from postmortem.traces.langfuse_source import LangfuseSource
from postmortem.traces.links import TraceLink, origin_of
from postmortem.traces.mlflow_source import MlflowSource
from postmortem.traces.models import Connection
from postmortem.traces.phoenix_source import PhoenixSource
from postmortem.traces.rest_source import RestSource
from postmortem.traces.source_http import SourceError
from postmortem.traces.sources import SourceInfo, TraceSource

_REST_SOURCES: dict[str, type[RestSource]] = {
    Connection.Kind.PHOENIX: PhoenixSource,
    Connection.Kind.MLFLOW: MlflowSource,
}


def create_connection(
    *,
    by: Person,
    name: str,
    base_url: str,
    public_key: str,
    secret_key: str,
    kind: str = Connection.Kind.LANGFUSE,
    project: str = "",
    feature: Feature | None = None,
) -> Connection:
    """Allow reads from one project. Only administrators; the secret key is stored encrypted.

    Langfuse wants a key pair. Phoenix and MLflow want `project` (a project or experiment, by name or id), and a
    user name and password, a token alone, or neither, as their server is set up.
    """
    require(by, Capability.CONFIGURE)
    needed = _needed_keys(kind)
    connection = Connection(
        name=_named(name),
        kind=kind,
        base_url=clean_base_url(base_url),
        project=_project(kind, project),
        public_key=_key(public_key, "public key", needed=needed),
        secret_key_encrypted=secret_keys.encrypt(_key(secret_key, "secret key", needed=needed)),
        feature=feature,
    )
    with transaction.atomic():
        _save(connection)
        audit.record(person=by, action="create connection", subject=connection.name, after=_shown(connection))
    return connection


def update_connection(
    *,
    connection: Connection,
    by: Person,
    name: str,
    base_url: str,
    public_key: str,
    secret_key: str = "",
    project: str | None = None,
    feature: Feature | None = None,
) -> Connection:
    """Change a connection; an empty `secret_key` keeps the stored one, `project` None the stored project.

    What its server said is forgotten. The kind of server stays: another server is another connection.
    """
    require(by, Capability.CONFIGURE)
    before = _shown(connection)
    connection.name, connection.feature = _named(name), feature
    if project is not None:
        connection.project = _project(connection.kind, project)
    connection.base_url = clean_base_url(base_url)
    connection.public_key = _key(public_key, "public key", needed=_needed_keys(connection.kind))
    if secret_key.strip():
        connection.secret_key_encrypted = secret_keys.encrypt(_key(secret_key, "secret key"))
    elif connection.base_url != before["base_url"] and secret_keys.decrypt(connection.secret_key_encrypted):
        # A stored key must not be sent to an address that it was not entered for.
        raise UserError("The address is a new one; enter the secret key for it too.")
    if secret_key.strip() or any(
        getattr(connection, field) != before[field] for field in ("base_url", "public_key", "project")
    ):
        connection.api, connection.server_version = Connection.Api.UNKNOWN, ""
        connection.project_id = connection.project_name = ""
    with transaction.atomic():
        _save(connection)
        audit.record(
            person=by, action="update connection", subject=connection.name, before=before, after=_shown(connection)
        )
    return connection


def delete_connection(*, connection: Connection, by: Person) -> None:
    """Forget a connection and its keys. Evidence that came through it stays."""
    require(by, Capability.CONFIGURE)
    with transaction.atomic():
        audit.record(person=by, action="delete connection", subject=connection.name, before=_shown(connection))
        connection.delete()


def check_connection(*, connection: Connection, by: Person) -> SourceInfo:
    """Ask the server which API it speaks and which project the keys open, and remember both.

    Raises SourceError with one sentence when it cannot be asked or refuses the keys.
    """
    require(by, Capability.CONFIGURE)
    info = _learn(connection)
    audit.record(person=by, action="check connection", subject=connection.name, after=_shown(connection))
    return info


def connection_for_link(link: TraceLink) -> Connection:
    """The connection through which a link may be read; asks its server for the project where that is unknown.

    Raises UserError that names what an administrator must add.
    """
    connections = [item for item in Connection.objects.filter(kind=link.kind) if item.base_url == link.base_url]
    if not connections:
        raise UserError(
            f"No connection reads from {link.base_url} ({Connection.Kind(link.kind).label}); "
            "ask an administrator to add one with the keys of "
            + (f"project {link.project_id}." if link.project_id else "the trace's project.")
        )
    if not link.project_id:
        if len(connections) == 1:
            return connections[0]
        names = ", ".join(connection.name for connection in connections)
        raise UserError(
            f"This short link names no project, and several are connected at {link.base_url} ({names}); "
            "open the trace there and copy the link with its project in it."
        )
    unasked: SourceError | None = None
    for connection in sorted(connections, key=lambda item: item.project_id != link.project_id):
        try:
            if (connection.project_id or _learn(connection).project_id) == link.project_id:
                return connection
        except SourceError as error:  # another connection may still fit
            unasked = error
    if unasked:
        raise unasked
    known = ", ".join(f"“{item.project_name or item.project_id}” ({item.project_id})" for item in connections)
    raise UserError(
        f"This link belongs to project {link.project_id}, but the keys stored for {link.base_url} belong to {known}; "
        f"ask an administrator to add a connection with the keys of project {link.project_id}."
    )


def open_source(connection: Connection) -> TraceSource:
    """A reader for the connection, whichever server it is for. Close it, or use it in `with`.

    What it learns of the server is remembered.
    """
    secret = secret_keys.decrypt(connection.secret_key_encrypted)
    if connection.kind in _REST_SOURCES:
        return _REST_SOURCES[connection.kind](
            base_url=connection.base_url,
            project=connection.project,
            user=connection.public_key,
            secret=secret,
            timeout_seconds=settings.SOURCE_READ_TIMEOUT_SECONDS,
            on_info=lambda info: _remember(connection, info),
        )
    return LangfuseSource(
        base_url=connection.base_url,
        public_key=connection.public_key,
        secret_key=secret,
        api=connection.api,
        project_id=connection.project_id,
        timeout_seconds=settings.SOURCE_READ_TIMEOUT_SECONDS,
        on_info=lambda info: _remember(connection, info),
    )


def clean_base_url(text: str) -> str:
    """An address in the one spelling that links are compared with. Raises UserError for what is no web address."""
    text = text.strip().split("/#/")[0]  # MLflow's pages are behind it
    try:
        parts = urlsplit(text)
        origin = origin_of(parts)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"“{text[:80]}” is not a web address; write it like https://cloud.langfuse.com.") from error
    path = parts.path.split("/project/")[0].split("/projects/")[0].rstrip("/").removesuffix("/api/public")
    if parts.query or parts.fragment or len(origin + path) > 400:
        raise UserError("Give only the address of the server, like https://cloud.langfuse.com.")
    return origin + path


def _learn(connection: Connection) -> SourceInfo:
    with open_source(connection) as source:
        if isinstance(source, LangfuseSource):
            source.project_id = ""  # asking whose keys they are, not insisting
        info = source.check()
    _remember(connection, info)
    return info


def _remember(connection: Connection, info: SourceInfo) -> None:
    connection.api, connection.server_version = info.api, info.version[:40]
    connection.project_id, connection.project_name = info.project_id[:200], info.project_name[:200]
    Connection.objects.filter(pk=connection.pk).update(
        api=connection.api,
        server_version=connection.server_version,
        project_id=connection.project_id,
        project_name=connection.project_name,
    )


def _save(connection: Connection) -> None:
    try:
        with transaction.atomic():
            connection.save()
    except IntegrityError as error:
        raise UserError(f"There is a connection named “{connection.name}” already; choose another name.") from error


def _named(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 120:
        raise UserError("Give the connection a name of at most 120 characters.")
    return name


def _needed_keys(kind: str) -> bool:
    if kind not in Connection.Kind.values:
        raise UserError(f"A connection is for one of {', '.join(Connection.Kind.values)}; choose one.")
    return kind == Connection.Kind.LANGFUSE


def _project(kind: str, project: str) -> str:
    """The project to be read, where its keys do not tell: without it every project of the server could be."""
    project = project.strip()
    if kind == Connection.Kind.LANGFUSE:
        return ""
    if not project or len(project) > 200:
        raise UserError("Name the Phoenix project or MLflow experiment that may be read, or give its id.")
    return project


def _key(value: str, what: str, *, needed: bool = True) -> str:
    value = value.strip()
    if not value and not needed:
        return ""
    if not value or len(value) > 200 or not value.isascii() or not value.isprintable():
        raise UserError(f"The {what} is empty or no key; copy it from the settings of the project or server.")
    return value


def _shown(connection: Connection) -> dict[str, Any]:
    return {
        name: getattr(connection, name)
        for name in ("name", "kind", "base_url", "project", "public_key", "project_id", "api", "feature_id")
    }
