"""Change feeds over REST: administrators make, change, pause, pull, renew and delete them."""

from django.conf import settings
from django.db import transaction
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.api.base import ApiView
from postmortem.changes import feeds, pulled_feeds
from postmortem.changes.models import ChangeFeed
from postmortem.incidents.models import Feature
from postmortem.lib.errors import UserError
from postmortem.lib.layers import LAYER_CHOICES
from postmortem.traces.models import Connection


class PathRuleSerializer(serializers.Serializer):
    """Which layer a change to a file belongs to; `**` is any number of folders."""

    pattern = serializers.CharField(max_length=200)
    layer = serializers.ChoiceField(choices=LAYER_CHOICES)


class FeedOptionsSerializer(serializers.Serializer):
    """What is read or counted. `project` is GitHub's owner/name or GitLab's path; see the page for the others."""

    project = serializers.CharField(max_length=400, required=False)
    branch = serializers.CharField(max_length=200, required=False, allow_blank=True)
    paths = PathRuleSerializer(many=True, required=False)
    environments = serializers.ListField(child=serializers.CharField(max_length=250), required=False)
    models = serializers.ListField(child=serializers.CharField(max_length=250), required=False)
    facet = serializers.CharField(max_length=80, required=False, allow_blank=True)
    user = serializers.CharField(max_length=200, required=False, allow_blank=True)


class FeedSerializer(serializers.ModelSerializer):
    """A feed; its secret or token is never read back. Of one that sends, `received` counts deliveries, else pulls."""

    feature = serializers.CharField(source="feature.name")
    address = serializers.SerializerMethodField()
    options = FeedOptionsSerializer()
    change_count = serializers.IntegerField()

    class Meta:
        model = ChangeFeed
        fields = (
            "id", "feature", "name", "kind", "is_pulled", "address", "connection", "options", "paused", "received",
            "last_received_at", "last_error", "last_outcome", "change_count", "interval_minutes", "lookback_days",
            "next_due", "failures", "made_at",
        )  # fmt: skip

    def get_address(self, feed: ChangeFeed) -> str:
        """Where deliveries go, or what is read."""
        if feed.is_pulled:
            return feed.connection.base_url if feed.connection else feed.base_url
        return settings.SITE_URL + reverse("change-hook", args=[feed.public_id])


class NewFeedSerializer(serializers.Serializer):
    """What a feed needs.

    One that sends: `secret` only for Langfuse, which makes its own. One that is pulled (`pull_…`): `base_url` and
    `token`, or for Langfuse the id of a `connection`.
    """

    feature = serializers.CharField(max_length=120)
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=ChangeFeed.Kind.choices)
    secret = serializers.CharField(max_length=300, required=False, default="", write_only=True)
    base_url = serializers.CharField(max_length=400, required=False)
    token = serializers.CharField(max_length=400, required=False, write_only=True)
    connection = serializers.PrimaryKeyRelatedField(queryset=Connection.objects.all(), required=False)
    interval_minutes = serializers.IntegerField(required=False)
    lookback_days = serializers.IntegerField(required=False)
    options = FeedOptionsSerializer(required=False)


class MadeFeedSerializer(FeedSerializer):
    """A feed that was just made or renewed, with its secret: shown this once."""

    secret = serializers.CharField()

    class Meta(FeedSerializer.Meta):
        fields = (*FeedSerializer.Meta.fields, "secret")


class NewSecretSerializer(serializers.Serializer):
    """The secret that Langfuse made; the other kinds get one from here."""

    secret = serializers.CharField(max_length=300, required=False, default="", write_only=True)


class FeedChangeSerializer(serializers.Serializer):
    """What changes; what is left out stays. `options` replaces all of them."""

    paused = serializers.BooleanField(required=False)
    name = serializers.CharField(max_length=120, required=False)
    base_url = serializers.CharField(max_length=400, required=False)
    token = serializers.CharField(max_length=400, required=False, write_only=True)
    forget_token = serializers.BooleanField(required=False, help_text="Read without one from now on.")
    connection = serializers.PrimaryKeyRelatedField(queryset=Connection.objects.all(), required=False)
    interval_minutes = serializers.IntegerField(required=False)
    lookback_days = serializers.IntegerField(required=False)
    options = FeedOptionsSerializer(required=False)


class FeedsView(ApiView):
    """Change feeds."""

    serializer_class = FeedSerializer

    @extend_schema(responses=FeedSerializer(many=True))
    def get(self, request: Request) -> Response:
        """By feature and name."""
        return self.page(feeds.feeds(), FeedSerializer)

    @extend_schema(request=NewFeedSerializer, responses={201: MadeFeedSerializer})
    def post(self, request: Request) -> Response:
        """Make one; the answer holds the secret of one that sends, this once."""
        body = self.body(NewFeedSerializer)
        feature = Feature.objects.filter(name=body.pop("feature")).first()
        if feature is None:
            raise UserError("There is no AI feature of that name; open an incident about it first.")
        if body["kind"] in ChangeFeed.PULLED:
            body.pop("secret")
            feed, secret = pulled_feeds.create_pulled_feed(by=self.person, feature=feature, **body), ""
        else:
            given = {name: body[name] for name in ("name", "kind", "secret", "options") if name in body}
            feed, secret = feeds.create_feed(by=self.person, feature=feature, **given)
        return Response(_made(feed, secret), status=status.HTTP_201_CREATED)


class OneFeedView(ApiView):
    """One feed."""

    serializer_class = FeedSerializer

    @extend_schema(request=FeedChangeSerializer, responses=FeedSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Pause it or take it again; change its settings."""
        feed, body = _feed(pk), self.body(FeedChangeSerializer)
        paused = body.pop("paused", None)
        with transaction.atomic():
            if body:
                pulled_feeds.update_feed(feed=feed, by=self.person, **body)
            if paused is not None:
                feeds.pause_feed(feed=feed, by=self.person, paused=paused)
        return Response(FeedSerializer(_feed(pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Forget it; its changes stay."""
        feeds.delete_feed(feed=_feed(pk), by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class FeedSecretView(ApiView):
    """A feed's secret."""

    serializer_class = MadeFeedSerializer

    @extend_schema(request=NewSecretSerializer, responses=MadeFeedSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """A new one; the old one counts no more."""
        feed = _feed(pk)
        given = self.body(NewSecretSerializer)["secret"]
        return Response(_made(feed, feeds.rotate_secret(feed=feed, by=self.person, secret=given)))


class FeedPullView(ApiView):
    """A feed that is pulled."""

    serializer_class = FeedSerializer

    @extend_schema(request=None, responses={202: FeedSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Let the next free worker pull it, whether it is due or not."""
        pulled_feeds.pull_now(feed=_feed(pk), by=self.person)
        return Response(FeedSerializer(_feed(pk)).data, status=status.HTTP_202_ACCEPTED)


def _feed(pk: int) -> ChangeFeed:
    found: ChangeFeed = get_object_or_404(feeds.feeds(), pk=pk)
    return found


def _made(feed: ChangeFeed, secret: str) -> dict[str, object]:
    return {**FeedSerializer(_feed(feed.pk)).data, "secret": secret}
