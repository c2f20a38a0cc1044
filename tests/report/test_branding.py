"""The organisation on its reports: who may, what is refused, what a record freezes."""

import base64
import json
from io import BytesIO
from pathlib import Path

import page
import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image
from pypdf import PdfReader

from postmortem.accounts.models import Role
from postmortem.lib.errors import EditConflict, UserError
from postmortem.report.branding import contrast_on_white, current_brand, redrawn, save_branding
from postmortem.report.documents import make_document
from postmortem.report.record import assemble_record
from tests.api.client import Api
from tests.builders import make_incident, make_person

pytestmark = pytest.mark.django_db


def logo(form="PNG", size=(900, 300)):
    out = BytesIO()
    Image.new("RGB", size, "#204060").save(out, form)
    return out.getvalue()


@pytest.fixture
def admin():
    return make_person("Root Admin", Role.ADMINISTRATOR)


def test_the_brand_is_on_the_record_and_every_page(admin, tmp_path):
    save_branding(by=admin, name=" Nordlicht  AG ", colour="#204060", revision=0, logo=logo("JPEG"))
    record = assemble_record(make_incident("INC-2026-0050"))
    assert record["organisation"] == "Nordlicht AG" and record["branding"]["colour"] == "#204060"
    html = make_document(record, view="full", form="html", version=None, sha256="").data.decode()
    assert "data:image/png;base64," in html and "h1 { color: #204060; }" in html and "Nordlicht AG" in html
    path = tmp_path / "brief.pdf"
    path.write_bytes(make_document(record, view="brief", form="pdf", version=None, sha256="").data)
    report = page.validate_pdf(path, profile="ua1")
    assert report.is_compliant, [str(failure) for failure in report.failures][:3]


def test_only_an_administrator_and_nobody_in_silence(admin):
    with pytest.raises(PermissionDenied):
        save_branding(by=make_person("Fay", Role.FACILITATOR), name="x", colour="#000000", revision=0)
    save_branding(by=admin, name="One", colour="#000000", revision=0, logo=logo())
    with pytest.raises(EditConflict):
        save_branding(by=admin, name="Two", colour="#000000", revision=0)
    kept = save_branding(by=admin, name="Two", colour="#000000", revision=1)
    assert kept.logo and not save_branding(by=admin, name="", colour="#000000", revision=2, remove_logo=True).logo


@pytest.mark.parametrize("colour", ["red", "#fff", "#ffee00", "#000000;}*{display:none}"])
def test_colours_that_cannot_be_read_are_refused(admin, colour):
    with pytest.raises(UserError):
        save_branding(by=admin, name="x", colour=colour, revision=0)
    assert current_brand().revision == 0


@pytest.mark.parametrize("data", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"\x89PNG\r\n\x1a\nbroken"])
def test_other_files_are_no_logo(data):
    with pytest.raises(UserError, match="not a PNG or JPEG"):
        redrawn(data)


def test_a_logo_is_drawn_anew_and_small():
    data = logo() + b"<script>alert(1)</script>"
    drawn = redrawn(data)
    assert b"script" not in drawn
    assert max(Image.open(BytesIO(drawn)).size) <= 600
    assert 20.9 < contrast_on_white("#000000") < 21.1


def test_a_forged_record_cannot_bring_styles_or_addresses():
    record = json.loads(json.dumps(assemble_record(make_incident("INC-2026-0050"))))
    record["branding"] = {"colour": "#000;}body{display:none", "logo_png": '"><script>alert(1)</script>'}
    html = make_document(record, view="brief", form="html", version=None, sha256="").data.decode()
    assert "display:none" not in html and "<script>" not in html and "<img" not in html


def test_page_and_rest(admin, client):
    client.force_login(admin)
    upload = SimpleUploadedFile("logo.png", logo(), "image/png")
    url = reverse("branding")
    page_ = client.post(url, {"revision": 0, "name": "Nordlicht", "colour": "#204060", "logo": upload}, follow=True)
    assert "Logo in use" in page_.content.decode()
    assert client.post(url, {"revision": 0, "name": "Late", "colour": "#204060"}).status_code == 409
    api = Api(admin)
    stored = api.get("branding/")
    assert (
        stored["name"] == "Nordlicht" and stored["revision"] == 1 and base64.b64decode(stored["logo"])[:4] == b"\x89PNG"
    )
    assert api.ask("put", "branding/", {"revision": 1, "name": "N", "colour": "#204060", "logo": ""})["logo"] == ""
    Api(make_person("Fay", Role.FACILITATOR)).get("branding/", expect=403)
    client.force_login(make_person("Vic", Role.VIEWER))
    assert client.get(url).status_code == 403


def test_a_long_name_leaves_the_running_head_its_other_half():
    record = json.loads((Path(__file__).parent / "record-1-sample.json").read_text())
    record["organisation"] = "Österreichische Donaudampfschifffahrtsgesellschaft mbH & Co. KG, Kundendienst"
    data = make_document(record, view="full", form="pdf", version=1, sha256="ab" * 32).data
    head = PdfReader(BytesIO(data)).pages[1].extract_text()
    assert "Österreichische" in head and "Kundendienst" not in head and "… Full report" in head
    html = make_document(record, view="full", form="html", version=1, sha256="").data.decode()
    assert "Kundendienst</strong> Full report" in html
