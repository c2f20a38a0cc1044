"""Answering what is open in a layer as the join and the attribution suggest, as one step of the history."""

from django.db import transaction

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.review.models import ChecklistAnswer
from postmortem.review.selectors import review_layer
from postmortem.review.services import answer_question

NOTE = "As the join and the attribution show."


def answer_as_suggested(*, incident: Incident, by: Person, layer: Layer | str) -> list[ChecklistAnswer]:
    """Answer every asked and open question of `layer` that has a suggestion; answers that are there stay.

    Raises UserError when nothing is suggested, or as `answer_question`; PermissionDenied.
    """
    wanted = [one for one in review_layer(incident, layer).questions if one.takes_suggestion]
    if not wanted:
        raise UserError("Nothing is suggested for the open questions here; answer them one by one.")
    with transaction.atomic(), audit.together():
        return [
            answer_question(
                incident=incident, by=by, question_id=one.question.id, value=str(one.prefill.suggested), note=NOTE
            )
            for one in wanted
        ]
