"""The page of change feeds: what administrators set, what others see, and how few queries it takes."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.changes import pulled_feeds
from postmortem.changes.models import Change, ChangeFeed
from postmortem.lib.clock import utc_now
from postmortem.traces.models import Connection
from postmortem.traces.secret_keys import decrypt, encrypt
from tests.api.client import Api
from tests.builders import make_change, make_feature, make_incident, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin():
    return make_person("Olga Admin", Role.ADMINISTRATOR)


def filled(**more):
    return {
        "feature": make_feature().pk, "name": "Repository", "base_url": "https://api.github.com", "token": "ghp_secret",
        "project": "shop/assistant", "paths": "prompts/** → prompt\nserving/** → infrastructure",
        "environments": "production", "branch": "", "interval_minutes": 15, "lookback_days": 14,
    } | more  # fmt: skip


def test_a_pulled_feed_is_made_edited_pulled_paused_and_deleted(client, admin):
    client.force_login(admin)
    html = client.get(reverse("feed-new", args=["pull_github"])).content.decode()
    assert 'value="https://api.github.com"' in html
    page = client.post(reverse("feed-new", args=["pull_github"]), filled(), follow=True).content.decode()
    assert "the worker begins to pull it now" in page
    assert "shop/assistant" in page and "prompts/**" in page and "due now" in page and "every 15 min" in page
    assert "ghp_secret" not in page
    feed = ChangeFeed.objects.get()
    edit = client.get(reverse("feed-edit", args=[feed.pk])).content.decode()
    assert "prompts/** → prompt" in edit and "ghp_secret" not in edit
    wrong = client.post(reverse("feed-edit", args=[feed.pk]), filled(paths="prompts", project="x"))
    assert wrong.status_code == 400
    assert "needs a pattern and a layer" in wrong.content.decode()
    moved = client.post(
        reverse("feed-edit", args=[feed.pk]), filled(token="", base_url="https://ghe.example.org/api/v3")
    )
    assert "enter the token for it too" in moved.content.decode()
    client.post(reverse("feed-edit", args=[feed.pk]), filled(token="", name="Other", paths=""))
    feed.refresh_from_db()
    assert (feed.name, feed.options["environments"], decrypt(feed.secret_encrypted)) == (
        "Other",
        ["production"],
        "ghp_secret",
    )
    assert "paths" not in feed.options
    ChangeFeed.objects.update(next_due=utc_now() + timedelta(days=1))
    assert "is next" in client.post(reverse("feed-pull", args=[feed.pk]), follow=True).content.decode()
    feed.refresh_from_db()
    assert feed.next_due <= utc_now()
    assert "is paused" in client.post(reverse("feed-pause", args=[feed.pk]), follow=True).content.decode()
    assert "take it again first" in client.post(reverse("feed-pull", args=[feed.pk]), follow=True).content.decode()
    make_change(feed=feed)
    assert "The 1 change that it brought" in client.get(reverse("feed-delete", args=[feed.pk])).content.decode()
    client.post(reverse("feed-delete", args=[feed.pk]))
    assert (ChangeFeed.objects.count(), Change.objects.get().feed) == (0, None)
    assert AuditEntry.objects.filter(action__startswith="feed.").count() == 5


def test_each_kind_asks_for_what_it_needs(client, admin):
    client.force_login(admin)
    langfuse = Connection.objects.create(
        name="Prod", base_url="https://lf.example.org", public_key="pk", secret_key_encrypted=encrypt("sk")
    )
    new = {"feature": make_feature().pk, "interval_minutes": 60, "lookback_days": 30}
    for kind, missing, given in (
        ("pull_langfuse", "Choose the connection", {"name": "P", "connection": langfuse.pk}),
        ("pull_mlflow", "Give the address", {"name": "M", "base_url": "http://mlflow:5000", "models": "a, b"}),
        ("pull_gitlab", "Name what is read", {"name": "G", "base_url": "https://gitlab.com", "project": "a/b"}),
    ):
        page = client.post(reverse("feed-new", args=[kind]), new | {"name": "x"})
        assert page.status_code == 400
        assert missing in page.content.decode()
        assert client.post(reverse("feed-new", args=[kind]), new | given).status_code == 302
    assert client.get(reverse("feed-new", args=["github"])).status_code == 404
    html = client.get(reverse("feeds")).content.decode()
    assert "https://lf.example.org (Prod)" in html and "a, b" in html


def test_a_webhooks_paths_can_be_named_and_changed(client, admin):
    client.force_login(admin)
    new = {"feature": make_feature().pk, "name": "Hook", "kind": "gitlab", "paths": "prompts/** → prompt"}
    page = client.post(reverse("feeds"), new)
    assert "It is shown this once" in page.content.decode()
    feed = ChangeFeed.objects.get()
    assert not page.context["secret"].startswith("whsec_")
    client.post(
        reverse("feed-edit", args=[feed.pk]), {"name": "Hook 2", "paths": "x/** → model", "environments": "a,b"}
    )
    feed.refresh_from_db()
    assert feed.options == {"paths": [{"pattern": "x/**", "layer": "model"}], "environments": ["a", "b"]}
    assert (feed.name, feed.next_due) == ("Hook 2", None)


def test_others_look_and_do_not_touch(client, admin):
    options = {"project": "shop/assistant"}
    feed = pulled_feeds.create_pulled_feed(
        by=admin, feature=make_feature(), name="Repository", kind="pull_github", options=options
    )
    client.force_login(make_person("Rita", Role.REVIEWER))
    html = client.get(reverse("feeds")).content.decode()
    assert "Repository" in html and "Read only" in html
    assert "api.github.com" not in html
    assert client.get(reverse("feed-new", args=["pull_github"])).status_code == 403
    for name in ("feed-edit", "feed-pull", "feed-delete"):
        assert client.post(reverse(name, args=[feed.pk])).status_code == 403


def test_the_pages_queries_do_not_grow(client, admin):
    client.force_login(admin)

    def count():
        with CaptureQueriesContext(connection) as seen:
            assert client.get(reverse("feeds")).status_code == 200
        return len(seen)

    few = None
    for number in range(12):
        kind = ("pull_github", "pull_mlflow", "pull_gitlab")[number % 3]
        pulled_feeds.create_pulled_feed(
            by=admin, feature=make_feature(f"Feature {number}"), name="x", kind=kind, base_url="https://h.example.org",
            options={"project": "a/b"},
        )  # fmt: skip
        if number == 2:
            count()
            few = count()
    assert count() == few <= 8


def test_a_change_leads_to_the_feed_that_brought_it(client, admin):
    client.force_login(admin)
    incident = make_incident()
    feed = pulled_feeds.create_pulled_feed(
        by=admin, feature=incident.feature, name="Repository", kind="pull_github", options={"project": "a/b"}
    )
    change = make_change(feed=feed, origin="Repository", source="pulled")
    link = f'<a href="/feeds/#feed-{feed.pk}">Repository</a>'
    assert link in client.get(reverse("changes", args=[incident.number])).content.decode()
    assert link in client.get(reverse("change", args=[incident.number, change.pk])).content.decode()
    assert f'id="feed-{feed.pk}"' in client.get(reverse("feeds")).content.decode()


def test_the_api_does_the_same(admin):
    api, feature = Api(admin), make_feature()
    new = {
        "feature": feature.name, "name": "Repository", "kind": "pull_github", "token": "ghp_secret",
        "interval_minutes": 45, "options": {"project": "a/b", "paths": [{"pattern": "p/**", "layer": "prompt"}]},
    }  # fmt: skip
    feed = api.post("feeds/", new)
    assert (feed["address"], feed["is_pulled"], feed["secret"]) == ("https://api.github.com", True, "")
    assert feed["options"] == new["options"]
    changed = api.patch(f"feeds/{feed['id']}/", {"name": "Other", "paused": True, "lookback_days": 7})
    assert (changed["name"], changed["paused"], changed["lookback_days"]) == ("Other", True, 7)
    assert changed["interval_minutes"] == 45
    api.post(f"feeds/{feed['id']}/pull/", expect=400)
    api.patch(f"feeds/{feed['id']}/", {"paused": False})
    assert api.post(f"feeds/{feed['id']}/pull/", expect=202)["name"] == "Other"
    api.patch(f"feeds/{feed['id']}/", {"base_url": "https://evil.example.org"}, expect=400)
    api.post("feeds/", new | {"options": {"project": "nothing"}}, expect=400)
    api.post("feeds/", new | {"kind": "pull_langfuse"}, expect=400)
    assert "ghp_secret" not in str(api.get("feeds/"))
    assert Api(make_person("Rita", Role.REVIEWER)).post(f"feeds/{feed['id']}/pull/", expect=403)
