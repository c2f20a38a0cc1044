"""Addresses of the pages: each module of the room lists its own."""

from postmortem.web import (
    actions,
    annex,
    attribution,
    changes,
    connections,
    evidence,
    history,
    incidents,
    labels,
    live,
    meeting,
    report,
    review,
    runs,
    session,
    traces,
)

urlpatterns = [
    *session.urlpatterns,
    *incidents.urlpatterns,
    *evidence.urlpatterns,
    *runs.urlpatterns,
    *traces.urlpatterns,
    *labels.urlpatterns,
    *changes.urlpatterns,
    *attribution.urlpatterns,
    *live.urlpatterns,
    *meeting.urlpatterns,
    *history.urlpatterns,
    *review.urlpatterns,
    *actions.urlpatterns,
    *report.urlpatterns,
    *annex.urlpatterns,
    *connections.urlpatterns,
]
