"""Stage 4: which change explains what got worse."""

from postmortem.attribution.services import run_attribution
from postmortem.pipeline.metric_case import attribute_grouped
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress


def attribute_incident(run: Run, progress: Progress) -> str:
    """Run the attribution on the incident as it is stored now, or through a server that groups its window.

    Returns the finding's number and headline.
    """
    if "connection" in run.payload:
        return attribute_grouped(run, progress)
    progress.save(text="Comparing exposed with unexposed traces.")
    finding = run_attribution(incident=run.incident, by=run.started_by)
    headline = str(finding.result.get("headline", "")).rstrip(".")
    return f"Finding {finding.number}: {headline}."
