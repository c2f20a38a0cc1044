"""Stage 2: from change logs to the ledger."""

from postmortem.changes.models import Change
from postmortem.changes.prompts import change_id, prompt_changes
from postmortem.changes.services import store_records
from postmortem.lib.errors import UserError
from postmortem.pipeline.models import Run
from postmortem.pipeline.progress import Progress
from postmortem.traces.models import Connection
from postmortem.traces.services import open_source


def pull_prompts(run: Run, progress: Progress) -> str:
    """Add every prompt version of a connection to the feature's prompt log. The payload holds `connection` (id)."""
    connection = Connection.objects.filter(pk=run.payload["connection"]).first()
    if connection is None:
        raise UserError("This connection is gone; choose another one.")
    progress.save(text=f"Asking {connection.name} for its prompt versions.")
    with open_source(connection) as source:
        versions = source.list_prompt_versions()
    progress.save(text="Adding them to the prompt log.", done=len(versions), total=len(versions))
    bytes_of = {change_id(version): version.raw for version in versions}
    records = prompt_changes(versions)
    outcome = store_records(
        feature=run.incident.feature, by=run.started_by, incident=run.incident, records=records,
        source=Change.Source.LANGFUSE, origin=connection.name,
        raw=[(bytes_of[record.id], "application/json") for record in records],
    )  # fmt: skip
    message = f"{outcome.added:,} prompt versions added, {outcome.unchanged:,} were there already."
    if outcome.conflicting:
        message += (
            f" {len(outcome.conflicting)} differ from what is stored under the same id and were left as they are."
        )
    return message
