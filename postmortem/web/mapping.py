"""Map a table of nobody's format to traces: upload, see its first rows, say what each column is, import."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.views.decorators.http import require_http_methods

from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability
from postmortem.lib.errors import UserError
from postmortem.pipeline import services as pipeline
from postmortem.traces import table_import
from postmortem.traces.mapped import (
    ROLES,
    ColumnUse,
    TableMapping,
    TablePreview,
    checked_mapping,
    mapping_of,
    read_rows,
)
from postmortem.traces.models import SavedMapping, Upload
from postmortem.traces.reading import mask_record
from postmortem.traces.redaction import mask_value
from postmortem.traces.texts import house_patterns
from postmortem.traces.uploads import refused_upload
from postmortem.web.evidence import tell_import
from postmortem.web.workspace import open_incident, render_stage


class TableForm(forms.Form):
    """One table of any make."""

    file = forms.FileField(
        label="Table of traces",
        help_text="CSV, JSONL, a JSON list or Parquet, plain or gzipped; one trace a row.",
        error_messages={
            "required": "Choose a file first.",
            "empty": "This file is empty; export it again and upload the new one.",
        },
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.json,.jsonl,.ndjson,.parquet,.gz"}),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, number: str) -> HttpResponse:
    """Upload the table."""
    incident = open_incident(request, number, Capability.IMPORT)
    form = TableForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and (sentence := refused_upload(request)):
        form.fields["file"].required = False  # it came, but was not kept
        form.add_error("file", sentence)
    elif request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            draft = table_import.keep_draft(incident=incident, by=request.user, filename=file.name, file=file)
            return redirect("mapping", incident.number, draft.pk)
        except UserError as error:
            form.add_error("file", str(error))
    status = 400 if form.errors else 200
    return render_stage(request, "traces/mapping_new.html", incident, "evidence", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, number: str, pk: int) -> HttpResponse:
    """The preview with a role for every column; POST tries the mapping or imports with it."""
    incident = open_incident(request, number, Capability.IMPORT)
    draft = get_object_or_404(
        Upload.objects.exclude(sha256=""), pk=pk, incident=incident, person=request.user, awaits=Upload.Awaits.MAPPING
    )
    preview = table_import.draft_preview(draft)
    uses = list(preview.guess.uses)
    assume_utc, refused = False, ""
    if request.method == "POST":
        uses, assume_utc = _typed(request, preview), bool(request.POST.get("assume_utc"))
    elif saved := request.GET.get("saved", ""):
        uses, assume_utc, refused = _saved(saved, preview)
    mapping: TableMapping | None = None
    try:
        mapping = checked_mapping(uses, assume_utc=assume_utc)
        if request.method == "POST" and request.POST.get("do") == "import":
            return _import(request, incident, draft, mapping)
    except UserError as error:
        refused = refused or str(error)
    return _render(
        request, incident, draft, preview, uses=uses, assume_utc=assume_utc, refused=refused, mapping=mapping
    )


def _import(request: HttpRequest, incident: Incident, draft: Upload, mapping: TableMapping) -> HttpResponse:
    done = pipeline.import_kept(
        incident=incident,
        by=request.user,
        upload=draft,
        mapping=mapping,
        keep_good=request.POST.get("faults") == "skip",
    )
    if name := request.POST.get("save_as", "").strip():
        table_import.save_mapping(by=request.user, name=name[:120], mapping=mapping)
    tell_import(request, draft.filename, done)
    return redirect("evidence", incident.number)


def _typed(request: HttpRequest, preview: TablePreview) -> list[ColumnUse]:
    return [
        ColumnUse(
            column,
            request.POST.get(f"role-{place}", "")[:40],
            request.POST.get(f"name-{place}", "").strip()[:80] or column[:80],
        )
        for place, column in enumerate(preview.columns)
    ]


def _saved(name: str, preview: TablePreview) -> tuple[list[ColumnUse], bool, str]:
    """A saved mapping, as far as this table has its columns, and what is missing."""
    saved = SavedMapping.objects.filter(name=name[:120]).first()
    if saved is None:
        return list(preview.guess.uses), False, "This saved mapping is gone; here is a guess instead."
    mapping = mapping_of(saved.mapping)
    missing = [use.column for use in mapping.uses if use.column not in preview.columns]
    told = f"The first rows have no column {', '.join(missing[:5])}, which “{saved.name}” reads." if missing else ""
    return [use for use in mapping.uses if use.column in preview.columns], mapping.assume_utc, told


def _render(
    request: HttpRequest,
    incident: Incident,
    draft: Upload,
    preview: TablePreview,
    *,
    uses: list[ColumnUse],
    assume_utc: bool,
    refused: str,
    mapping: TableMapping | None,
) -> HttpResponse:
    by_column = {use.column: use for use in uses}
    read = read_rows(preview.rows, mapping) if mapping else []
    house = house_patterns()
    shown = [(line, record and mask_record(record, house), fault) for line, record, fault in read]
    context = {
        "draft": draft,
        "columns": [
            (column, mask_value(preview.samples[column], house), by_column.get(column)) for column in preview.columns
        ],
        "roles": ROLES,
        "assume_utc": assume_utc,
        "refused": refused,
        "read": shown,
        "bad": sum(record is None for _, record, _ in read),
        "saved_mappings": list(SavedMapping.objects.values_list("name", flat=True)[:100]),
        "keep_good": request.POST.get("faults") == "skip",
        "save_as": request.POST.get("save_as", "")[:120],
    }
    status = 400 if refused and request.method == "POST" else 200
    return render_stage(request, "traces/mapping.html", incident, "evidence", context, status=status)


urlpatterns = [
    path("incidents/<str:number>/evidence/mapping/", new, name="mapping-new"),
    path("incidents/<str:number>/evidence/mapping/<int:pk>/", page, name="mapping"),
]
