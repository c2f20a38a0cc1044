"""Saving a form over one stored row that counts its revisions, as pages of settings do."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from postmortem.lib.errors import EditConflict, UserError

SAVED = 303


def saved_status(
    request: HttpRequest, form: forms.Form, save: Callable[[dict[str, Any]], object], *, said: str = "Saved."
) -> int:
    """Try to save a posted form; the status to answer with: SAVED, or what the page is shown again with.

    200 when nothing was posted, 400 for wrong input, 409 when somebody saved first: what was typed stays in the form
    over the newer revision, so that saving again keeps it.
    """
    if request.method != "POST":
        return 200
    if not form.is_valid():
        return 400
    try:
        save(form.cleaned_data)
    except EditConflict as error:
        form.add_error(None, str(error))
        form.data = form.data.copy()
        form.data["revision"] = str(error.revision)
        return 409
    except UserError as error:
        form.add_error(None, str(error))
        return 400
    messages.success(request, said)
    return SAVED
