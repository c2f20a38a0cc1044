"""Change feeds over REST: administrators make, pause, renew and delete them."""

from django.conf import settings
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView
from postmortem.changes import feeds
from postmortem.changes.models import ChangeFeed
from postmortem.incidents.models import Feature
from postmortem.lib.errors import UserError


class FeedSerializer(serializers.ModelSerializer):
    """A feed; its secret is never read back."""

    feature = serializers.CharField(source="feature.name")
    address = serializers.SerializerMethodField()

    class Meta:
        model = ChangeFeed
        fields = (
            "id", "feature", "name", "kind", "address", "paused", "received", "last_received_at", "last_error",
            "made_at",
        )  # fmt: skip

    def get_address(self, feed: ChangeFeed) -> str:
        """Where deliveries go."""
        return settings.SITE_URL + reverse("change-hook", args=[feed.public_id])


class NewFeedSerializer(serializers.Serializer):
    """What a feed needs; `secret` only for Langfuse, which makes its own."""

    feature = serializers.CharField(max_length=120)
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=ChangeFeed.Kind.choices)
    secret = serializers.CharField(max_length=300, required=False, default="", write_only=True)


class MadeFeedSerializer(FeedSerializer):
    """A feed that was just made or renewed, with its secret: shown this once."""

    secret = serializers.CharField()

    class Meta(FeedSerializer.Meta):
        fields = (*FeedSerializer.Meta.fields, "secret")


class NewSecretSerializer(serializers.Serializer):
    """The secret that Langfuse made; the other kinds get one from here."""

    secret = serializers.CharField(max_length=300, required=False, default="", write_only=True)


class FeedStateSerializer(serializers.Serializer):
    """Whether it is paused."""

    paused = serializers.BooleanField()


class FeedsView(ApiView):
    """Change feeds."""

    serializer_class = FeedSerializer

    @extend_schema(responses=FeedSerializer(many=True))
    def get(self, request: Request) -> Response:
        """By feature and name."""
        return self.page(feeds.feeds(), FeedSerializer)

    @extend_schema(request=NewFeedSerializer, responses={201: MadeFeedSerializer})
    def post(self, request: Request) -> Response:
        """Make one; the answer holds its secret, this once."""
        body = self.body(NewFeedSerializer)
        feature = Feature.objects.filter(name=body.pop("feature")).first()
        if feature is None:
            raise UserError("There is no AI feature of that name; open an incident about it first.")
        feed, secret = feeds.create_feed(by=self.person, feature=feature, **body)
        return Response(_made(feed, secret), status=status.HTTP_201_CREATED)


class OneFeedView(ApiView):
    """One feed."""

    serializer_class = FeedSerializer

    @extend_schema(request=FeedStateSerializer, responses=FeedSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Pause it, or take it again."""
        feed = get_object_or_404(feeds.feeds(), pk=pk)
        feeds.pause_feed(feed=feed, by=self.person, paused=self.body(FeedStateSerializer)["paused"])
        return Response(FeedSerializer(get_object_or_404(feeds.feeds(), pk=pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Forget it; its changes stay."""
        feeds.delete_feed(feed=get_object_or_404(feeds.feeds(), pk=pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class FeedSecretView(ApiView):
    """A feed's secret."""

    serializer_class = MadeFeedSerializer

    @extend_schema(request=NewSecretSerializer, responses=MadeFeedSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """A new one; the old one counts no more."""
        feed = get_object_or_404(feeds.feeds(), pk=pk)
        given = self.body(NewSecretSerializer)["secret"]
        return Response(_made(feed, feeds.rotate_secret(feed=feed, by=self.person, secret=given)))


def _made(feed: ChangeFeed, secret: str) -> dict[str, object]:
    return {**FeedSerializer(feed).data, "secret": secret}
