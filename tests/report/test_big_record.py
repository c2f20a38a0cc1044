"""An incident of size, 60 changes, 25 actions, 40 pieces of evidence: accessible in every view, the brief two pages."""

from io import BytesIO

import page
import pytest
from pypdf import PdfReader

from postmortem.report.documents import VIEWS, make_document
from tests.report.big_record import big_record


@pytest.mark.parametrize("audience", ["internal", "external"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_holds_all(view, audience, tmp_path):
    record = big_record(entries=12, factors=60 if audience == "internal" else 18)
    data = make_document(record, view=view, form="pdf", version=1, sha256="ab" * 32, audience=audience).data
    path = tmp_path / "report.pdf"
    path.write_bytes(data)
    found = page.validate_pdf(path, profile="ua1")
    assert found.is_compliant, [str(failure) for failure in found.failures][:5]
    pages = PdfReader(BytesIO(data)).pages
    text = " ".join(" ".join(one.extract_text() for one in pages).split())
    if view == "brief":
        assert len(pages) == 2 and "more actions stand in the" in text
    else:
        assert all(f"A-{number} " in text for number in range(1, 26))
        assert audience == "external" or "Wiśniewska" in text
    if audience == "external":
        assert "an owner, Quality, Quality" not in text and "Priya" not in text and "Wiśniewska" not in text
