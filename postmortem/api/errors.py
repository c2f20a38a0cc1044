"""Errors of the API in one shape: {"detail": sentence} and a fitting status."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler
from rest_framework.views import set_rollback

from postmortem.lib.errors import EditConflict, UserError
from postmortem.pipeline.services import prepare_later
from postmortem.traces.stored_columns import ColumnsMissing


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The product's own errors as 400, 403, 404, 409 and 503; the rest as REST framework has it, never as HTML."""
    if isinstance(exc, ColumnsMissing):
        prepare_later(exc.incident_id, context["request"].user)
        answer = _answer(status.HTTP_503_SERVICE_UNAVAILABLE, str(exc))
        answer["Retry-After"] = "5"
        return answer
    if isinstance(exc, EditConflict):
        return _answer(status.HTTP_409_CONFLICT, str(exc), current=exc.current, revision=exc.revision)
    if isinstance(exc, UserError):
        return _answer(status.HTTP_400_BAD_REQUEST, str(exc))
    if isinstance(exc, PermissionDenied | Http404) and exc.args:
        code = status.HTTP_404_NOT_FOUND if isinstance(exc, Http404) else status.HTTP_403_FORBIDDEN
        return _answer(code, str(exc))
    if isinstance(exc, exceptions.ValidationError):
        return _answer(status.HTTP_400_BAD_REQUEST, _sentence(exc.detail), fields=exc.detail)
    return drf_exception_handler(exc, context)


def _answer(code: int, sentence: str, **more: Any) -> Response:
    set_rollback()
    return Response({"detail": sentence, **more}, status=code)


def _sentence(detail: Any, path: str = "") -> str:
    """The first complaint, with the field that it is about."""
    if isinstance(detail, dict) and detail:
        name, inner = next(iter(detail.items()))
        return _sentence(inner, path if name == "non_field_errors" else f"{path}.{name}".strip("."))
    if isinstance(detail, list) and detail:
        return _sentence(next((item for item in detail if item), detail[0]), path)
    return f"{path}: {detail}" if path else str(detail)
