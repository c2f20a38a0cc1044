"""Where drafts come from: an endpoint that an administrator names, off until then; its key is stored encrypted."""

import re
from urllib.parse import urlsplit

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.models import DraftingSettings
from postmortem.traces.secret_keys import encrypt


def drafting_settings() -> DraftingSettings:
    """What is set; before the first save drafting is off."""
    return DraftingSettings.objects.filter(pk=1).first() or DraftingSettings(pk=1)


def save_drafting_settings(
    *, by: Person, revision: int, enabled: bool, base_url: str = "", model: str = "", api_key: str = ""
) -> DraftingSettings:
    """Store endpoint and model; an empty key keeps the stored one, unless the address changes.

    Raises UserError for an address that cannot be one, EditConflict, PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    url, model = base_url.strip().rstrip("/"), model.strip()
    if url and not _is_base(url):
        raise UserError(
            "Write the endpoint's address like https://llm.example.org/v1, without user, query or fragment."
        )
    if enabled and not (url and model):
        raise UserError("Drafts need the address of an endpoint and the name of a model.")
    with transaction.atomic():
        stored = DraftingSettings.objects.select_for_update().filter(pk=1).first() or DraftingSettings(pk=1)
        if stored.revision != revision:
            current: dict[str, object] = {"enabled": stored.enabled, "base_url": stored.base_url, "model": stored.model}
            raise EditConflict(
                "Somebody else changed where drafts come from; look and save again.",
                current=current, revision=stored.revision,
            )  # fmt: skip
        before = {"enabled": stored.enabled, "base_url": stored.base_url, "model": stored.model}
        if url != stored.base_url:
            stored.api_key = b""  # a key goes to nobody but whom it was entered for
        if api_key.strip():
            stored.api_key = encrypt(api_key.strip())
        stored.enabled, stored.base_url, stored.model = enabled, url, model
        stored.revision += 1
        stored.updated_by, stored.updated_at = by, utc_now()
        stored.save()
        after = {"enabled": enabled, "base_url": url, "model": model}
        audit.record(person=by, action="drafting.settings", subject="Drafts by a model", before=before, after=after)
    return stored


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment or re.search(r"[\s\\@]", url))
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and plain
