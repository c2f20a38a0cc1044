"""The frame of every write in the review: may they, is it open, one at a time, all or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident, Status
from postmortem.incidents.permissions import Capability, require
from postmortem.incidents.states import refuse_published
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.review.content import ReviewRows
from postmortem.review.models import SignOff

_inside: ContextVar[bool] = ContextVar("inside", default=False)


@contextmanager
def editing(
    incident: Incident, by: Person, capability: Capability = Capability.REVIEW, layer: Layer | str = ""
) -> Iterator[None]:
    """A transaction that holds the incident, so that what is checked inside still stands when it is saved.

    Raises PermissionDenied, or UserError when the incident is published.
    """
    require(by, capability, incident, layer)
    with transaction.atomic():
        hold_open(incident)
        with telling_lapses(incident, by):
            yield


@contextmanager
def telling_lapses(incident: Incident, by: Person) -> Iterator[None]:
    """Tell every page and the history whose signatures stand on other content after what is done inside.

    Two queries where nobody has signed.
    """
    if _inside.get():
        yield
        return
    token = _inside.set(True)
    try:
        standing = {row.pk: row.content_sha256 for row in _standing(incident)}
        yield
        if standing:
            still = {row.pk for row in _standing(incident)}
            for row in incident.sign_offs.select_related("signed_by").filter(pk__in=standing.keys() - still):
                # Signed again meanwhile is no lapse.
                if row.content_sha256 == standing[row.pk]:
                    signed = f"{row.get_layer_display() or 'the whole review'}, by {row.signed_by.name}"
                    with audit.undoing(None):  # it only follows from the step, also where that takes another back
                        log_edit(by, incident, "review.lapse", signed, {}, {}, row.pk)
    finally:
        _inside.reset(token)


def _standing(incident: Incident) -> list[SignOff]:
    """Signatures whose content is as it was signed."""
    rows = list(incident.sign_offs.all())
    if not rows:
        return []
    content = ReviewRows.load(incident)
    return [row for row in rows if content.content_hash(row.layer) == row.content_sha256]


def hold_open(incident: Incident, *fields: str) -> dict[str, Any]:
    """Lock the incident's row until the transaction ends and read `fields` of it, in one query.

    Others wait meanwhile, so few queries belong after it. Raises UserError when the incident is published.
    """
    row = Incident.objects.select_for_update(no_key=True).filter(pk=incident.pk).values("status", *fields).first()
    if row is None or row["status"] == Status.PUBLISHED:
        refuse_published(incident)
    return dict(row or {})


def hold(incident: Incident) -> None:
    """Lock the incident's row until the transaction ends. SQLite holds its one write lock already."""
    Incident.objects.select_for_update(no_key=True).filter(pk=incident.pk).values_list("pk").first()


def known_layer(layer: Layer | str) -> Layer:
    """The layer of that name. Raises UserError for any other word."""
    try:
        return Layer(str(layer))
    except ValueError:
        named = f"“{str(layer)[:40]}” is not a layer"
        raise UserError(f"{named}; choose model, prompt, retrieval or infrastructure.") from None


def log_edit(  # noqa: PLR0917
    by: Person,
    incident: Incident,
    action: str,
    subject: str,
    before: dict[str, Any],
    after: dict[str, Any],
    object_id: int | None = None,
) -> None:
    """One line of history, in the transaction of the edit; `before` and `after` hold the changed fields."""
    audit.record(
        person=by, action=action, subject=subject, incident_number=incident.number,
        before=before, after=after, object_id=object_id,
    )  # fmt: skip
