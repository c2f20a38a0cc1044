"""Connections to projects of trace servers; administrators only. Secret keys go in and never come out."""

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.traces import services
from postmortem.traces.models import Connection


class ConnectionSerializer(serializers.ModelSerializer):
    """A connection without its secret key."""

    class Meta:
        model = Connection
        fields = (
            "id", "name", "kind", "base_url", "project", "project_id", "project_name", "public_key", "api",
            "server_version", "feature", "created_at",
        )  # fmt: skip


class NewConnectionSerializer(serializers.Serializer):
    """Where the project is and with which keys it is read.

    Langfuse wants its key pair. Phoenix and MLflow want `project` (a project or experiment, by name or id), and a
    user name and password, a token as secret key alone, or neither.
    """

    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=Connection.Kind.choices, default=Connection.Kind.LANGFUSE)
    base_url = serializers.CharField(max_length=400)
    project = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    public_key = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    secret_key = serializers.CharField(max_length=400, write_only=True, required=False, allow_blank=True, default="")
    feature = serializers.IntegerField(required=False, allow_null=True, default=None)


class ChangedConnectionSerializer(NewConnectionSerializer):
    """As when making one; an empty secret key and no project keep the stored ones. The kind of server stays."""

    kind = None
    project = serializers.CharField(max_length=200, required=False, allow_blank=True, allow_null=True, default=None)


class SourceSerializer(serializers.Serializer):
    """What the source said of itself."""

    api = serializers.CharField()
    version = serializers.CharField(allow_blank=True, allow_null=True)
    project_id = serializers.CharField(allow_blank=True, allow_null=True)
    project_name = serializers.CharField(allow_blank=True, allow_null=True)


class _AdministratorView(ApiView):
    serializer_class = ConnectionSerializer

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        require(self.person, Capability.CONFIGURE)

    def connection(self, pk: int) -> Connection:
        connection = Connection.objects.filter(pk=pk).first()
        if connection is None:
            raise Http404(f"There is no connection {pk}.")
        return connection

    def fields(self, serializer_class: type[serializers.Serializer]) -> dict[str, object]:
        body = self.body(serializer_class)
        if body["feature"] is not None:
            feature = Feature.objects.filter(pk=body["feature"]).first()
            if feature is None:
                raise UserError(f"There is no feature {body['feature']}; list the features to find its id.")
            body["feature"] = feature
        return body


class ConnectionsView(_AdministratorView):
    """Connections."""

    @extend_schema(responses=ConnectionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All connections by name."""
        return self.page(Connection.objects.order_by("name"), ConnectionSerializer)

    @extend_schema(request=NewConnectionSerializer, responses={201: ConnectionSerializer})
    def post(self, request: Request) -> Response:
        """Allow one more project."""
        connection = services.create_connection(by=self.person, **self.fields(NewConnectionSerializer))
        return Response(ConnectionSerializer(connection).data, status=status.HTTP_201_CREATED)


class ConnectionView(_AdministratorView):
    """One connection."""

    @extend_schema(responses=ConnectionSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """The connection."""
        return Response(ConnectionSerializer(self.connection(pk)).data)

    @extend_schema(request=ChangedConnectionSerializer, responses=ConnectionSerializer)
    def put(self, request: Request, pk: int) -> Response:
        """Change name, address, keys or feature."""
        connection = self.connection(pk)
        fields = self.fields(ChangedConnectionSerializer)
        changed = services.update_connection(connection=connection, by=self.person, **fields)
        return Response(ConnectionSerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Forget the connection; evidence stays."""
        services.delete_connection(connection=self.connection(pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ConnectionCheckView(_AdministratorView):
    """Ask the source who it is."""

    serializer_class = SourceSerializer

    @extend_schema(request=None, responses=SourceSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Reads with the stored keys; 400 with one sentence when that fails."""
        return Response(
            SourceSerializer(services.check_connection(connection=self.connection(pk), by=self.person)).data
        )
