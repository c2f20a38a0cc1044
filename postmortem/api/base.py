"""What the API's views share: finding the incident, reading the body, picking related rows."""

from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework.generics import GenericAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.selectors import get_incident
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYERS

_Row = TypeVar("_Row", bound=Model)


class AnyAccept(BaseContentNegotiation):
    """Answers in the address's own format, whatever the Accept header prefers."""

    def select_parser(self, request: Request, parsers: list[Any]) -> Any:
        """The parser of the body's media type."""
        kind = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(self, request: Request, renderers: list[Any], format_suffix: str | None = None) -> Any:
        """The first renderer."""
        return renderers[0], renderers[0].media_type


class ApiView(GenericAPIView):
    """A view that parses with a serializer, calls one function and renders."""

    content_negotiation_class = AnyAccept

    @property
    def person(self) -> Person:
        """Who asks."""
        return self.request.user

    def body(self, serializer_class: type[BaseSerializer], **kwargs: Any) -> dict[str, Any]:
        """The checked body; answers 400 with one sentence otherwise."""
        serializer = serializer_class(data=self.request.data, **kwargs)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def page(self, queryset: QuerySet[Any] | list[Any], serializer_class: type[BaseSerializer]) -> Any:
        """One page of a list: limit, offset, count, results."""
        rows = self.paginate_queryset(queryset)
        return self.get_paginated_response(serializer_class(rows, many=True).data)


class IncidentView(ApiView):
    """A view under /api/incidents/<number>/. Absent and invisible incidents are 404 before anything is read."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Sign-in first, then visibility, then the method."""
        super().initial(request, *args, **kwargs)
        _ = self.incident
        if "layer" in kwargs and kwargs["layer"] not in {str(layer) for layer in LAYERS}:
            raise Http404("The layers are model, prompt, retrieval and infrastructure.")

    @cached_property
    def incident(self) -> Incident:
        """The incident of the address."""
        number = str(self.kwargs["number"])
        try:
            return get_incident(self.person, number)
        except Incident.DoesNotExist as error:
            raise Http404(f"There is no incident {number[:30]}, or you may not see it.") from error

    def found(self, queryset: QuerySet[_Row], **lookup: Any) -> _Row:
        """The row that the address names, else 404."""
        row = queryset.filter(**lookup).first()
        if row is None:
            raise Http404(f"{self.incident.number} has no such {queryset.model._meta.verbose_name}.")
        return row

    def picked(self, queryset: QuerySet[_Row], pk: int | None) -> _Row | None:
        """The row that the body names by id; UserError when this incident has none such."""
        if pk is None:
            return None
        row = queryset.filter(pk=pk).first()
        if row is None:
            raise UserError(f"There is no {queryset.model._meta.verbose_name} {pk} here; list them to find its id.")
        return row
