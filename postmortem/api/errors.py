"""Errors of the API in one shape: {"detail": sentence} and a fitting status."""

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from postmortem.lib.errors import EditConflict, UserError


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn the product's own errors into 400 and 409; leave the rest to REST framework."""
    if isinstance(exc, EditConflict):
        return Response(
            {"detail": str(exc), "current": exc.current, "revision": exc.revision}, status=status.HTTP_409_CONFLICT
        )
    if isinstance(exc, UserError):
        return Response({"detail": str(exc)}, status=status.HTTP_400_BAD_REQUEST)
    if isinstance(exc, PermissionDenied) and exc.args:
        return Response({"detail": str(exc)}, status=status.HTTP_403_FORBIDDEN)
    return drf_exception_handler(exc, context)
