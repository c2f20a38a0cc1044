"""Change feeds: what sends changes by itself, and what is pulled on a schedule. Administrators make and stop them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.changes import feeds, pulled_feeds
from postmortem.changes.feed_options import FeedOptions, read_options
from postmortem.changes.models import ChangeFeed
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.clock import describe_duration, utc_now
from postmortem.lib.errors import UserError
from postmortem.web.feed_forms import FeedForm, FeedSettingsForm


@dataclass(frozen=True, slots=True)
class FeedRow:
    """A feed as the page shows it; `address` is where deliveries go, or what is read."""

    feed: ChangeFeed
    address: str
    options: FeedOptions
    every: str
    busy: bool


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """All feeds, and the form for a new one that sends."""
    form = FeedForm(request.POST or None)
    shown: tuple[ChangeFeed, str] | None = None
    if request.method == "POST":
        require(request.user, Capability.CONFIGURE)
        if form.is_valid():
            given = {name: form.cleaned_data[name] for name in ("feature", "name", "kind", "secret")}
            try:
                shown = feeds.create_feed(by=request.user, options=form.options(), **given)
                form = FeedForm()
            except UserError as error:
                form.add_error(None, str(error))
    return _render(request, form, shown, 400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, kind: str) -> HttpResponse:
    """Add a feed that is pulled; the first pull begins at once."""
    require(request.user, Capability.CONFIGURE)
    if kind not in ChangeFeed.PULLED:
        raise Http404("Nothing of that kind is pulled.")
    form = FeedSettingsForm(request.POST or None, kind=kind)
    if request.method == "POST" and form.is_valid():
        try:
            feed = pulled_feeds.create_pulled_feed(by=request.user, kind=kind, **form.arguments())
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{feed.name} is added; the worker begins to pull it now.")
            return redirect("feeds")
    context = {"form": form, "feed": None, "what": ChangeFeed.Kind(kind).label}
    return render(request, "changes/feed_form.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a feed; an empty token keeps the stored one."""
    require(request.user, Capability.CONFIGURE)
    feed = _feed(pk)
    form = FeedSettingsForm(request.POST or None, kind=feed.kind, stored=feed)
    if request.method == "POST" and form.is_valid():
        try:
            pulled_feeds.update_feed(feed=feed, by=request.user, **form.arguments())
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{form.cleaned_data['name']} is saved.")
            return redirect("feeds")
    context = {"form": form, "feed": feed, "what": feed.get_kind_display()}
    return render(request, "changes/feed_form.html", context, status=400 if form.errors else 200)


@require_POST
def pull(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the worker pull it now."""
    feed = _feed(pk)
    try:
        pulled_feeds.pull_now(feed=feed, by=request.user)
        messages.success(request, f"{feed.name} is next; the worker pulls it as soon as it is free.")
    except UserError as error:
        messages.error(request, str(error))
    return redirect("feeds")


@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """A new secret, shown once."""
    require(request.user, Capability.CONFIGURE)
    feed = _feed(pk)
    if feed.kind == ChangeFeed.Kind.LANGFUSE:
        messages.error(request, "Langfuse makes its own secrets; delete this feed and add it with the new one.")
        return redirect("feeds")
    try:
        return _render(request, FeedForm(), (feed, feeds.rotate_secret(feed=feed, by=request.user)), 200)
    except UserError as error:
        messages.error(request, str(error))
        return redirect("feeds")


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop taking what it sends or pulling it, or begin again."""
    feed = _feed(pk)
    feeds.pause_feed(feed=feed, by=request.user, paused=not feed.paused)
    messages.success(request, f"{feed.name} is {'taken again' if feed.paused else 'paused'}.")
    return redirect("feeds")


@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, then forget a feed; its changes stay."""
    require(request.user, Capability.CONFIGURE)
    feed = get_object_or_404(feeds.feeds(), pk=pk)
    if request.method == "POST":
        feeds.delete_feed(feed=feed, by=request.user)
        messages.success(request, f"{feed.name} is gone; the changes that it brought stay in the log.")
        return redirect("feeds")
    return render(request, "changes/feed_delete.html", {"feed": feed})


def _feed(pk: int) -> ChangeFeed:
    return get_object_or_404(ChangeFeed.objects.select_related("feature", "connection"), pk=pk)


def _render(request: HttpRequest, form: FeedForm, shown: tuple[ChangeFeed, str] | None, status: int) -> HttpResponse:
    now = utc_now()
    rows = [_row(feed, now) for feed in feeds.feeds()]
    context = {
        "pulled": [row for row in rows if row.feed.is_pulled],
        "sending": [row for row in rows if not row.feed.is_pulled],
        "total": len(rows),
        "now": now,
        "kinds": [(kind.value, kind.label) for kind in ChangeFeed.PULLED],
        "form": form,
        "shown": shown[0] if shown else None,
        "secret": shown[1] if shown and shown[0].kind != ChangeFeed.Kind.LANGFUSE else "",
        "address": _address(shown[0]) if shown else "",
        "may_configure": may(request.user, Capability.CONFIGURE),
    }
    return render(request, "changes/feeds.html", context, status=status)


def _row(feed: ChangeFeed, now: datetime) -> FeedRow:
    every = describe_duration(timedelta(minutes=feed.interval_minutes))
    busy = bool(feed.lease_until and feed.lease_until > now)
    return FeedRow(feed, _address(feed), read_options(feed.options), every, busy)


def _address(feed: ChangeFeed) -> str:
    if not feed.is_pulled:
        return str(settings.SITE_URL + reverse("change-hook", args=[feed.public_id]))
    if feed.connection is not None:
        return f"{feed.connection.base_url} ({feed.connection.name})"
    return feed.base_url


urlpatterns = [
    path("feeds/", page, name="feeds"),
    path("feeds/new/<str:kind>/", new, name="feed-new"),
    path("feeds/<int:pk>/", edit, name="feed-edit"),
    path("feeds/<int:pk>/pull/", pull, name="feed-pull"),
    path("feeds/<int:pk>/rotate/", rotate, name="feed-rotate"),
    path("feeds/<int:pk>/pause/", pause, name="feed-pause"),
    path("feeds/<int:pk>/delete/", delete, name="feed-delete"),
]
