"""Addresses of the REST API."""

from django.urls import URLPattern, include, path
from rest_framework.views import APIView

from postmortem.api import (
    accounts,
    actions,
    attribution,
    changes,
    connections,
    docs,
    evidence,
    factors,
    incidents,
    report,
    review,
    sessions,
)


def _at(address: str, view: type[APIView], name: str) -> URLPattern:
    return path(address, view.as_view(), name=f"api-{name}")


_incident_patterns = [
    _at("", incidents.OneIncidentView, "incident"),
    _at("participants/", incidents.ParticipantsView, "participants"),
    _at("participants/<int:pk>/", incidents.OneParticipantView, "participant"),
    _at("timeline/", incidents.TimelineView, "timeline"),
    _at("timeline/<int:pk>/", incidents.NoteView, "timeline-note"),
    _at("evidence/", evidence.EvidenceView, "evidence"),
    _at("evidence/link/", evidence.LinkImportView, "evidence-link"),
    _at("evidence/file/", evidence.FileImportView, "evidence-file"),
    _at("runs/", evidence.RunsView, "runs"),
    _at("runs/<int:pk>/", evidence.RunView, "run"),
    _at("runs/<int:pk>/cancel/", evidence.RunCancelView, "run-cancel"),
    _at("traces/", evidence.TracesView, "traces"),
    _at("traces/<int:pk>/", evidence.TraceView, "trace"),
    _at("changes/", changes.ChangesView, "changes"),
    _at("changes/file/", changes.ChangesFileView, "changes-file"),
    _at("changes/prompts/", changes.PromptPullView, "changes-prompts"),
    _at("changes/<int:pk>/", changes.OneChangeView, "change"),
    _at("reconciliation/", changes.ReconciliationView, "reconciliation"),
    _at("attribution/", attribution.AttributionView, "attribution"),
    _at("findings/", attribution.FindingsView, "findings"),
    _at("findings/<int:run>/", attribution.FindingView, "finding"),
    _at("review/", review.ReviewView, "review"),
    _at("review/answers/", review.AnswersView, "review-answers"),
    _at("review/evidence/<int:pk>/", review.OneEvidenceView, "review-evidence"),
    _at("review/sign-off/", review.WholeSignOffView, "sign-off"),
    _at("review/<str:layer>/", review.LayerView, "review-layer"),
    _at("review/<str:layer>/evidence/", review.LayerEvidenceView, "layer-evidence"),
    _at("review/<str:layer>/evidence/adopt/", review.AdoptView, "layer-evidence-adopt"),
    _at("review/<str:layer>/verdict/", review.VerdictView, "layer-verdict"),
    _at("review/<str:layer>/sign-off/", review.LayerSignOffView, "layer-sign-off"),
    _at("factors/", factors.FactorsView, "factors"),
    _at("factors/<int:pk>/", factors.OneFactorView, "factor"),
    _at("factors/<int:pk>/risk/", factors.RiskView, "factor-risk"),
    _at("edges/", factors.EdgesView, "edges"),
    _at("edges/<int:pk>/", factors.OneEdgeView, "edge"),
    _at("actions/", actions.ActionsView, "actions"),
    _at("actions/<int:action>/", actions.OneActionView, "action"),
    _at("actions/<int:action>/status/", actions.ActionStatusView, "action-status"),
    _at("gate/", report.GateView, "gate"),
    _at("reports/", report.ReportsView, "reports"),
    _at("reports/correction/", report.CorrectionView, "report-correction"),
    _at("reports/draft/<str:view>.<str:form>", report.DraftDocumentView, "report-draft-document"),
    _at("reports/<int:version>/record/", report.RecordView, "report-record"),
    _at("reports/<int:version>/<str:view>.<str:form>", report.DocumentView, "report-document"),
]

urlpatterns = [
    _at("schema/", docs.SchemaView, "schema"),
    _at("docs/", docs.DocsView, "docs"),
    _at("auth/login/", sessions.SignInView, "login"),
    _at("auth/logout/", sessions.SignOutView, "logout"),
    _at("auth/logout-everywhere/", sessions.SignOutEverywhereView, "logout-everywhere"),
    _at("auth/me/", sessions.MeView, "me"),
    _at("people/", accounts.PeopleView, "people"),
    _at("teams/", accounts.TeamsView, "teams"),
    _at("features/", accounts.FeaturesView, "features"),
    _at("connections/", connections.ConnectionsView, "connections"),
    _at("connections/<int:pk>/", connections.ConnectionView, "connection"),
    _at("connections/<int:pk>/check/", connections.ConnectionCheckView, "connection-check"),
    _at("incidents/", incidents.IncidentsView, "incidents"),
    path("incidents/<str:number>/", include(_incident_patterns)),
]
