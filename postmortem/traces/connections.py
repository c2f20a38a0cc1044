"""Connections: which Langfuse projects may be read, and with what keys."""

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
from postmortem.traces.langfuse_source import LangfuseSource, SourceError, SourceInfo
from postmortem.traces.links import TraceLink, origin_of
from postmortem.traces.models import Connection


def create_connection(
    *, by: Person, name: str, base_url: str, public_key: str, secret_key: str, feature: Feature | None = None
) -> Connection:
    """Allow reads from a Langfuse project. Only administrators; the secret key is stored encrypted."""
    require(by, Capability.CONFIGURE)
    connection = Connection(
        name=_named(name),
        base_url=clean_base_url(base_url),
        public_key=_key(public_key, "public key"),
        secret_key_encrypted=secret_keys.encrypt(_key(secret_key, "secret key")),
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
    feature: Feature | None = None,
) -> Connection:
    """Change a connection; an empty `secret_key` keeps the stored one. What its server said is forgotten."""
    require(by, Capability.CONFIGURE)
    before = _shown(connection)
    connection.name, connection.feature = _named(name), feature
    connection.base_url, connection.public_key = clean_base_url(base_url), _key(public_key, "public key")
    if secret_key.strip():
        connection.secret_key_encrypted = secret_keys.encrypt(_key(secret_key, "secret key"))
    elif connection.base_url != before["base_url"]:
        # A stored key must not be sent to an address that it was not entered for.
        raise UserError("The address is a new one; enter the secret key for it too.")
    if secret_key.strip() or (connection.base_url, connection.public_key) != (before["base_url"], before["public_key"]):
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
    connections = [item for item in Connection.objects.all() if item.base_url == link.base_url]
    if not connections:
        raise UserError(
            f"No connection reads from {link.base_url}; ask an administrator to add one with the keys of "
            + (f"project {link.project_id}." if link.project_id else "the trace's project.")
        )
    if not link.project_id:
        if len(connections) == 1:
            return connections[0]
        names = ", ".join(connection.name for connection in connections)
        raise UserError(
            f"This short link names no project, and several are connected at {link.base_url} ({names}); "
            "open the trace in Langfuse and copy the link with /project/ in it."
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


def open_source(connection: Connection) -> LangfuseSource:
    """A reader for the connection; the API flavour that it finds is remembered. Close it, or use it in `with`."""
    return LangfuseSource(
        base_url=connection.base_url,
        public_key=connection.public_key,
        secret_key=secret_keys.decrypt(connection.secret_key_encrypted),
        api=connection.api,
        project_id=connection.project_id,
        timeout_seconds=settings.SOURCE_READ_TIMEOUT_SECONDS,
        on_info=lambda info: _remember(connection, info),
    )


def clean_base_url(text: str) -> str:
    """An address in the one spelling that links are compared with. Raises UserError for what is no web address."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        origin = origin_of(parts)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"“{text[:80]}” is not a web address; write it like https://cloud.langfuse.com.") from error
    path = parts.path.split("/project/")[0].rstrip("/").removesuffix("/api/public")
    if parts.query or parts.fragment or len(origin + path) > 400:
        raise UserError("Give only the address of the server, like https://cloud.langfuse.com.")
    return origin + path


def _learn(connection: Connection) -> SourceInfo:
    with open_source(connection) as source:
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


def _key(value: str, what: str) -> str:
    value = value.strip()
    if not value or len(value) > 200 or not value.isascii() or not value.isprintable():
        raise UserError(f"The {what} is empty or no key; copy it from the project's settings in Langfuse.")
    return value


def _shown(connection: Connection) -> dict[str, Any]:
    return {
        name: getattr(connection, name)
        for name in ("name", "base_url", "public_key", "project_id", "api", "feature_id")
    }
