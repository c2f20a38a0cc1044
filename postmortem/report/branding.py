"""An organisation's name, logo and colour on its reports, set by an administrator and frozen with each record."""

import base64
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.conf import settings
from django.db import transaction
from PIL import Image, UnidentifiedImageError

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import EditConflict, UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.report.models import Branding

MAX_LOGO_BYTES = 2 * 1024 * 1024
_MAX_PIXELS = 20_000_000
_LOGO_SIZE = (600, 160)
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_LEAST_CONTRAST = 4.5  # WCAG 2.2, text on white
DEFAULT_COLOUR = "#1b1d22"


@dataclass(frozen=True, slots=True)
class Brand:
    """What a report shows; `logo` is a PNG or empty, `colour` is #rrggbb."""

    name: str
    colour: str
    logo: bytes
    revision: int


def current_brand() -> Brand:
    """The stored branding; before the first save the organisation's name of the settings."""
    stored = Branding.objects.filter(pk=1).first()
    if stored is None:
        return Brand(settings.ORGANISATION_NAME, DEFAULT_COLOUR, b"", 0)
    return Brand(stored.name, stored.colour, bytes(stored.logo), stored.revision)


def save_branding(
    *, by: Person, name: str, colour: str, revision: int, logo: bytes | None = None, remove_logo: bool = False
) -> Brand:
    """Store name, colour and, if given, a new logo; it is drawn anew as PNG of at most 600 by 160 points.

    Raises UserError for a colour too light to read, or a file that is no PNG or JPEG; EditConflict, PermissionDenied.
    """
    require(by, Capability.CONFIGURE)
    name, colour = " ".join(name.split()), colour.strip().lower()
    if len(name) > 80:
        raise UserError("The organisation's name has more than 80 characters; shorten it.")
    if not _COLOUR.fullmatch(colour):
        raise UserError("The colour is written like #1b1d22.")
    if contrast_on_white(colour) < _LEAST_CONTRAST:
        raise UserError("This colour is too light to read on white; choose a darker one (contrast of 4.5 or more).")
    drawn = redrawn(logo) if logo else None
    with transaction.atomic():
        stored = Branding.objects.select_for_update().filter(pk=1).first() or Branding(pk=1, revision=0)
        if stored.revision != revision:
            current = {"name": stored.name, "colour": stored.colour}
            raise EditConflict("Somebody else changed the branding; look and save again.", current=current,
                               revision=stored.revision)  # fmt: skip
        before = {"name": stored.name, "colour": stored.colour, "logo": _hash(bytes(stored.logo))}
        stored.name, stored.colour, stored.updated_by, stored.updated_at = name, colour, by, utc_now()
        stored.logo = drawn if drawn is not None else b"" if remove_logo else stored.logo
        stored.revision += 1
        stored.save()
        after = {"name": name, "colour": colour, "logo": _hash(bytes(stored.logo))}
        audit.record(person=by, action="branding.edit", subject="Branding of reports", before=before, after=after)
    return current_brand()


def brand_section() -> dict[str, Any]:
    """The branding as the record freezes it; the logo in Base64."""
    brand = current_brand()
    return {"colour": brand.colour, "logo_png": base64.b64encode(brand.logo).decode()}


def contrast_on_white(colour: str) -> float:
    """Contrast ratio of #rrggbb against white (WCAG 2.2, relative luminance), 1 to 21."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def redrawn(data: bytes) -> bytes:
    """The picture as a plain PNG: whatever else the file carried stays behind. Raises UserError."""
    if len(data) > MAX_LOGO_BYTES:
        raise UserError("The logo has more than 2 MB; save it smaller.")
    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > _MAX_PIXELS:
                raise UserError("The logo has more than 20 million points; save it smaller.")
            clean = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("The logo is not a PNG or JPEG that can be read.") from error
    clean.thumbnail(_LOGO_SIZE)
    out = BytesIO()
    clean.save(out, "PNG", optimize=True)
    return out.getvalue()


def _hash(logo: bytes) -> str:
    return sha256_hex(logo) if logo else ""
