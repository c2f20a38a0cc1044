"""Signing in to the API: a token for an e-mail and password, bounded like the sign-in page."""

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from knox.views import LogoutAllView as KnoxLogoutAllView
from knox.views import LogoutView as KnoxLogoutView
from rest_framework import serializers, status
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.accounts.services import set_time_zone
from postmortem.api.accounts import PersonSerializer
from postmortem.api.base import ApiView


class SignInSerializer(serializers.Serializer):
    """E-mail and password of an account."""

    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1000, trim_whitespace=False, style={"input_type": "password"})


class TokenSerializer(serializers.Serializer):
    """Send `Authorization: Token <token>` with every request. It is shown once."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField(allow_null=True)
    person = PersonSerializer()


class SignInView(ApiView):
    """Trade e-mail and password for a token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    serializer_class = SignInSerializer

    @extend_schema(request=SignInSerializer, responses=TokenSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """401 for a wrong pair, 429 after too many of them."""
        body = self.body(SignInSerializer)
        credentials = {"username": body["email"].lower(), "password": body["password"]}
        plain = request._request
        person = authenticate(request=plain, **credentials)
        if person is None:
            if not AxesProxyHandler.is_allowed(plain, credentials):
                # The sign-in page's lock-out answer is HTML; this one is ours.
                plain.axes_locked_out = False
                raise Throttled(detail="Too many attempts with this account; wait a quarter of an hour.")
            raise AuthenticationFailed("This e-mail and password do not go together.")
        instance, token = AuthToken.objects.create(user=person)
        return Response(TokenSerializer({"token": token, "expiry": instance.expiry, "person": person}).data)

    def get_authenticate_header(self, request: Request) -> str:
        """Named so that a refusal is 401 and not 403."""
        return "Token"


@extend_schema(request=None, responses={204: None})
class SignOutView(KnoxLogoutView):
    """Revoke the token that this request carries."""


@extend_schema(request=None, responses={204: None})
class SignOutEverywhereView(KnoxLogoutAllView):
    """Revoke all one's tokens."""


class TimeZoneSerializer(serializers.Serializer):
    """A name such as Europe/Berlin."""

    time_zone = serializers.CharField(max_length=64)


class MeView(ApiView):
    """Who is signed in."""

    serializer_class = PersonSerializer

    def get(self, request: Request) -> Response:
        """The person whose token this is."""
        return Response(PersonSerializer(self.person).data)

    @extend_schema(request=TimeZoneSerializer, responses={204: None})
    def patch(self, request: Request) -> Response:
        """Choose the time zone that pages show beside UTC."""
        set_time_zone(person=self.person, **self.body(TimeZoneSerializer))
        return Response(status=status.HTTP_204_NO_CONTENT)
