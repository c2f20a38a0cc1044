"""A rendered report as an answer: its file name, and a policy that lets exactly its own styles in."""

from django.http import HttpResponse

from postmortem.report.documents import Document


def document_response(document: Document, form: str) -> HttpResponse:
    """PDF and HTML open in the browser, other formats are downloads."""
    response = HttpResponse(document.data, content_type=document.media_type)
    how = "inline" if form in ("pdf", "html") else "attachment"
    response["Content-Disposition"] = f'{how}; filename="{document.filename}"'
    if document.style_hash:
        response._csp_replace = {"style-src": ["'self'", document.style_hash], "script-src": ["'none'"]}
    return response
