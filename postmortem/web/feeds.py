"""Change feeds: what may send changes by itself. Administrators make and stop them."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.views.decorators.http import require_http_methods, require_POST

from postmortem.changes import feeds
from postmortem.changes.models import ChangeFeed
from postmortem.incidents.models import Feature
from postmortem.incidents.permissions import Capability, may, require
from postmortem.lib.errors import UserError


class FeedForm(forms.Form):
    """A new feed."""

    feature = forms.ModelChoiceField(
        queryset=Feature.objects.all(),
        label="AI feature",
        empty_label="choose",
        error_messages={"required": "Choose the feature whose logs it writes to."},
    )
    name = forms.CharField(max_length=120, help_text="Who sends, e.g. Deployments of the assistant.")
    kind = forms.ChoiceField(choices=ChangeFeed.Kind.choices, label="What sends")
    secret = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "placeholder": "lf-whsec_…"}),
        help_text="Langfuse only: the secret that it shows when the webhook is made. The others get one from here.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """All feeds, and the form for a new one."""
    form = FeedForm(request.POST or None)
    shown: tuple[ChangeFeed, str] | None = None
    if request.method == "POST":
        require(request.user, Capability.CONFIGURE)
        if form.is_valid():
            try:
                shown = feeds.create_feed(by=request.user, **form.cleaned_data)
                form = FeedForm()
            except UserError as error:
                form.add_error(None, str(error))
    return _render(request, form, shown, 400 if form.errors else 200)


@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """A new secret, shown once."""
    require(request.user, Capability.CONFIGURE)
    feed = _feed(pk)
    if feed.kind == ChangeFeed.Kind.LANGFUSE:
        messages.error(request, "Langfuse makes its own secrets; delete this feed and add it with the new one.")
        return redirect("feeds")
    return _render(request, FeedForm(), (feed, feeds.rotate_secret(feed=feed, by=request.user)), 200)


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop taking what it sends, or take it again."""
    feed = _feed(pk)
    feeds.pause_feed(feed=feed, by=request.user, paused=not feed.paused)
    messages.success(request, f"{feed.name} is {'taken again' if feed.paused else 'paused'}.")
    return redirect("feeds")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget a feed; its changes stay."""
    feed = _feed(pk)
    feeds.delete_feed(feed=feed, by=request.user)
    messages.success(request, f"{feed.name} is gone; the changes that it brought stay in the log.")
    return redirect("feeds")


def _feed(pk: int) -> ChangeFeed:
    return get_object_or_404(ChangeFeed.objects.select_related("feature"), pk=pk)


def _render(request: HttpRequest, form: FeedForm, shown: tuple[ChangeFeed, str] | None, status: int) -> HttpResponse:
    rows = [(feed, _address(feed)) for feed in feeds.feeds()]
    context = {
        "rows": rows,
        "form": form,
        "shown": shown[0] if shown else None,
        "secret": shown[1] if shown and shown[0].kind != ChangeFeed.Kind.LANGFUSE else "",
        "address": _address(shown[0]) if shown else "",
        "may_configure": may(request.user, Capability.CONFIGURE),
    }
    return render(request, "changes/feeds.html", context, status=status)


def _address(feed: ChangeFeed) -> str:
    return settings.SITE_URL + reverse("change-hook", args=[feed.public_id])


urlpatterns = [
    path("feeds/", page, name="feeds"),
    path("feeds/<int:pk>/rotate/", rotate, name="feed-rotate"),
    path("feeds/<int:pk>/pause/", pause, name="feed-pause"),
    path("feeds/<int:pk>/delete/", delete, name="feed-delete"),
]
