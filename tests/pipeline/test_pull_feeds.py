"""The worker pulls feeds that are due: once, with a lease, from the cursor, and backs off where it must."""

import threading
from datetime import timedelta
from functools import partial
from io import StringIO

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.urls import reverse

from fixtures.standin.server import StandIn
from postmortem.accounts.models import AuditEntry, Role
from postmortem.changes import feeds, pulled_feeds
from postmortem.changes.feed_http import Budget
from postmortem.changes.models import Change, ChangeFeed
from postmortem.lib.clock import format_moment, utc_now
from postmortem.lib.errors import UserError
from postmortem.pipeline import background, pull_feeds
from postmortem.pipeline.models import Run
from postmortem.traces.connections import create_connection
from postmortem.traces.models import Connection
from postmortem.traces.secret_keys import decrypt, encrypt
from postmortem.traces.services import read_blob
from tests.api.client import Api
from tests.builders import make_feature, make_incident, make_person
from tests.changes.hosts import Registry, github, gitlab, sha

pytestmark = pytest.mark.django_db
PATHS = "prompts/** → prompt"


@pytest.fixture
def admin():
    return make_person("Olga Admin", Role.ADMINISTRATOR)


def made(admin, base, **more):
    options = {"project": "shop/assistant", "paths": PATHS}
    given = {"name": "Repository", "kind": "pull_github", "base_url": base, "token": "ghp_1", "options": options}
    return pulled_feeds.create_pulled_feed(by=admin, feature=make_feature(), **(given | more))


def due(feed):
    ChangeFeed.objects.filter(pk=feed.pk).update(next_due=utc_now() - timedelta(seconds=1))


def pull(feed):
    due(feed)
    assert pull_feeds.pull_next_due("tester")
    feed.refresh_from_db()


class TestPulls:
    def test_what_it_brings_is_stored_once_with_feed_and_bytes(self, admin):
        host = github()
        with host.serving() as base:
            feed = made(admin, base)
            pull(feed)
            stored = list(feed.changes.values_list("external_id", flat=True))
            pull(feed)
        assert len(stored) == feed.changes.count() == Change.objects.count() == 6
        change = Change.objects.get(external_id=f"github:merge:shop/assistant:{sha(912)}:prompt")
        assert (change.source, change.origin, change.added_by, change.layer) == (
            "pulled",
            "Repository",
            admin,
            "prompt",
        )
        assert b'"Shorter refund answers"' in read_blob(change.raw)
        assert (feed.last_error, feed.last_outcome, feed.received, feed.worker) == ("", "nothing new", 2, "")
        assert feed.lease_until is None
        assert timedelta(minutes=29) < feed.next_due - utc_now() <= timedelta(minutes=30)
        assert host.headers["authorization"] == "Bearer ghp_1"

    def test_a_change_that_a_webhook_told_before_is_left_as_it_is(self, admin):
        host = github()
        hook, _ = feeds.create_feed(
            by=admin, feature=make_feature(), name="Hook", kind="github", options={"paths": PATHS}
        )
        with host.serving() as base:
            feed = made(admin, base)
            Change.objects.create(
                feature=feed.feature, external_id="github:release:51", layer="infrastructure", summary="Told by hand",
                at=utc_now(), until=utc_now(), source="webhook", feed=hook, content_sha256="0" * 64,
            )  # fmt: skip
            pull(feed)
        change = Change.objects.get(external_id="github:release:51")
        assert (change.summary, change.feed) == ("Told by hand", hook)

    def test_not_due_paused_or_claimed_is_not_pulled(self, admin):
        with github().serving() as base:
            feed = made(admin, base)
            for fields in (
                {"next_due": utc_now() + timedelta(minutes=5)}, {"paused": True},
                {"worker": "other", "lease_until": utc_now() + timedelta(minutes=1)},
            ):  # fmt: skip
                ChangeFeed.objects.filter(pk=feed.pk).update(next_due=utc_now(), paused=False, lease_until=None)
                ChangeFeed.objects.filter(pk=feed.pk).update(**fields)
                assert not pull_feeds.pull_next_due("tester")
                assert pull_feeds.claim(feed.pk, "tester") is None
        assert not Change.objects.exists()

    def test_a_dead_workers_feed_is_taken_again_and_given_up_after_three(self, admin):
        host = github()
        with host.serving() as base:
            feed = made(admin, base)
            dead = {"worker": "dead", "lease_until": utc_now() - timedelta(seconds=1)}
            ChangeFeed.objects.filter(pk=feed.pk).update(attempts=3, **dead)
            pull(feed)
            assert "stopped 3 times" in feed.last_error
            assert (feed.attempts, feed.failures, host.asked) == (0, 1, [])
            ChangeFeed.objects.filter(pk=feed.pk).update(attempts=1, **dead)
            pull(feed)
        assert (feed.attempts, feed.failures, feed.last_error) == (0, 0, "")

    def test_who_lost_the_lease_stores_nothing_more(self, admin, monkeypatch):
        with github().serving() as base:
            feed = made(admin, base)
            mine = pull_feeds.claim(feed.pk, "slow")
            ChangeFeed.objects.filter(pk=feed.pk).update(worker="quick")
            pull_feeds.pull(mine)
        feed.refresh_from_db()
        assert (feed.worker, feed.cursor, feed.received) == ("quick", {}, 0)
        assert not Change.objects.exists()

    def test_a_failure_between_changes_and_cursor_leaves_neither(self, admin, monkeypatch):
        def fail(**_):
            raise RuntimeError

        with github().serving() as base:
            feed = made(admin, base)
            with monkeypatch.context() as broken:
                broken.setattr(pull_feeds, "store_records", fail)
                pull(feed)
            assert "server's log names" in feed.last_error
            assert (feed.cursor, Change.objects.count()) == ({}, 0)
            pull(feed)
        assert Change.objects.count() == 6

    def test_errors_wait_longer_each_time_and_limits_as_long_as_they_say(self, admin):
        host = github()
        with host.serving() as base:
            feed = made(admin, base)
            host.instead["/repos/shop/assistant"] = {"status": 401}
            for failures, minutes in ((1, 30), (2, 60), (3, 120)):
                pull(feed)
                assert feed.failures == failures
                assert "does not accept the token" in feed.last_error
                wait = feed.next_due - utc_now()
                assert timedelta(minutes=minutes - 1) < wait <= timedelta(minutes=minutes)
            ChangeFeed.objects.filter(pk=feed.pk).update(failures=5000)
            pull(feed)
            assert feed.next_due - utc_now() <= timedelta(hours=24)
            host.instead["/repos/shop/assistant"] = {"status": 429, "headers": {"Retry-After": "600"}}
            pull(feed)
            assert timedelta(minutes=9) < feed.next_due - utc_now() <= timedelta(minutes=10)
            host.instead["/repos/shop/assistant"] = {"status": 429, "headers": {"Retry-After": "999999"}}
            pull(feed)
            assert feed.next_due - utc_now() <= timedelta(hours=6)
            host.instead.clear()
            pull(feed)
        assert (feed.failures, feed.last_error) == (0, "")

    def test_a_bounded_pull_comes_back_soon(self, admin, monkeypatch):
        monkeypatch.setattr(pull_feeds, "Budget", partial(Budget, 9))
        with github().serving() as base:
            feed = made(admin, base)
            pull(feed)
            assert "more to come" in feed.last_outcome
            assert feed.next_due - utc_now() <= timedelta(minutes=1)
            for _ in range(4):
                pull(feed)
        assert Change.objects.count() == 6

    def test_a_worker_that_is_told_to_stop_keeps_what_it_has(self, admin):
        stop = threading.Event()
        host = github()
        answer = host.answer

        def stopping(*args):
            if "/statuses" in args[1]:
                stop.set()
            return answer(*args)

        host.answer = stopping
        with host.serving() as base:
            feed = made(admin, base)
            pull_feeds.pull_next_due("tester", stop=stop)
        assert list(feed.changes.values_list("external_id", flat=True)) == ["github:release:51"]

    def test_whoever_made_it_must_still_be_allowed(self, admin):
        with github().serving() as base:
            feed = made(admin, base)
            type(admin).objects.filter(pk=admin.pk).update(role=Role.VIEWER)
            pull(feed)
        assert "may no longer import" in feed.last_error

    def test_langfuse_prompts_through_the_connection(self, admin):
        with StandIn(mode="v4", sleep_scale=0) as server:
            connection = create_connection(
                by=admin, name="Stand-in", base_url=server.base_url, public_key=server.public_key,
                secret_key=server.secret_key,
            )  # fmt: skip
            feed = made(admin, "", kind="pull_langfuse", connection=connection)
            pull(feed)
            assert set(feed.changes.values_list("external_id", flat=True)) == {
                "prompt:greeting:7", "prompt:folder/tone of voice:1",
            }  # fmt: skip
            server.world.prompts["greeting"][8] = format_moment(utc_now())
            pull(feed)
            pull(feed)
        assert feed.last_error == ""
        assert feed.last_outcome == "nothing new"
        newest = feed.changes.get(external_id="prompt:greeting:8")
        assert (newest.layer, newest.from_version, newest.facet) == ("prompt", "7", "prompt_version")
        assert b"Reword the rules" in read_blob(newest.raw)

    def test_an_alias_that_a_webhook_told_counts_once(self, admin):
        registry = Registry()
        with registry.serving() as base:
            feed = made(admin, base, kind="pull_mlflow", options={})
            pull(feed)
            registry.models[0]["aliases"][0]["version"] = "2"
            Change.objects.create(
                feature=feed.feature, external_id="mlflow:answerer:alias:champion:2:1", layer="model", summary="Told",
                at=utc_now(), until=utc_now(), source="webhook", content_sha256="0" * 64,
            )  # fmt: skip
            pull(feed)
            assert feed.last_outcome == "nothing new"
            registry.models[0]["aliases"][0]["version"] = "1"
            pull(feed)
        assert feed.last_outcome == "1 added"

    def test_langfuse_needs_its_connection(self, admin):
        connection = Connection.objects.create(
            name="Prod", base_url="http://127.0.0.1:1", public_key="pk", secret_key_encrypted=encrypt("sk")
        )
        with pytest.raises(UserError, match="Choose the connection"):
            made(admin, "", kind="pull_langfuse")
        feed = made(admin, "", kind="pull_langfuse", connection=connection)
        pull(feed)
        assert "connection refused" in feed.last_error
        connection.delete()
        pull(feed)
        assert "connection of this feed is gone" in feed.last_error


class TestWorker:
    def test_it_pulls_between_runs(self, admin):
        incident = make_incident()
        run = Run.objects.create(incident=incident, kind=Run.Kind.ATTRIBUTE, started_by=admin)
        with gitlab().serving() as base:
            made(admin, base, kind="pull_gitlab")
            background.work(once=True)
        run.refresh_from_db()
        assert run.state == Run.State.FAILED  # there is nothing to attribute
        assert Change.objects.filter(source="pulled").count() == 4

    def test_the_command_pulls_what_is_due_or_named(self, admin):
        with gitlab().serving() as base:
            feed = made(admin, base, kind="pull_gitlab")
            out = StringIO()
            call_command("pull_feeds", stdout=out)
            assert "Repository of Help Centre Assistant: 4 added" in out.getvalue()
            call_command("pull_feeds", stdout=(again := StringIO()))
            assert again.getvalue() == ""  # not due
            call_command("pull_feeds", "Repository", stdout=(named := StringIO()))
            assert "nothing new" in named.getvalue()
            call_command("pull_feeds", "--list", stdout=(listed := StringIO()))
            assert "GitLab project" in listed.getvalue()
        with pytest.raises(CommandError, match="called Nobody"):
            call_command("pull_feeds", "Nobody")
        with pytest.raises(CommandError, match="1 of 1 feeds"):
            call_command("pull_feeds", str(feed.pk), stdout=StringIO())  # the server is gone
        feeds.pause_feed(feed=feed, by=admin, paused=True)
        with pytest.raises(CommandError, match="paused"):
            call_command("pull_feeds", str(feed.pk))


class TestSettings:
    def test_a_token_goes_to_no_address_that_it_was_not_entered_for(self, admin):
        feed = made(admin, "https://git.example.org", kind="pull_gitlab")
        with pytest.raises(UserError, match="enter the token for it too"):
            pulled_feeds.update_feed(feed=feed, by=admin, base_url="https://evil.example.org")
        feed.refresh_from_db()
        assert feed.base_url == "https://git.example.org"
        pulled_feeds.update_feed(feed=feed, by=admin, base_url="https://git2.example.org/api/v4", token="new")
        feed.refresh_from_db()
        assert (feed.base_url, decrypt(feed.secret_encrypted)) == ("https://git2.example.org", "new")

    def test_a_stored_token_can_be_forgotten(self, admin, client):
        feed = made(admin, "https://git.example.org", kind="pull_gitlab")
        with pytest.raises(UserError, match="not both"):
            pulled_feeds.update_feed(feed=feed, by=admin, token="new", forget_token=True)
        client.force_login(admin)
        form = client.get(reverse("feed-edit", args=[feed.pk])).content.decode()
        assert "Forget the stored token" in form
        answer = Api(admin, "").ask("patch", f"feeds/{feed.pk}/", {"forget_token": True})
        assert "token" not in answer
        feed.refresh_from_db()
        assert decrypt(feed.secret_encrypted) == ""
        assert "Forget the stored token" not in client.get(reverse("feed-edit", args=[feed.pk])).content.decode()
        said = AuditEntry.objects.filter(action="feed.update").latest("pk")
        assert (said.before["has_token"], said.after["has_token"]) == (True, False)

    def test_new_paths_read_from_the_beginning_and_take_the_lease(self, admin):
        feed = made(admin, "https://git.example.org", kind="pull_gitlab")
        ChangeFeed.objects.filter(pk=feed.pk).update(cursor={"marks": {"a": "b"}}, worker="busy")
        pulled_feeds.update_feed(feed=feed, by=admin, name="Other", interval_minutes=60)
        feed.refresh_from_db()
        assert (feed.name, feed.cursor, feed.worker) == ("Other", {"marks": {"a": "b"}}, "busy")
        pulled_feeds.update_feed(feed=feed, by=admin, options={"project": "shop/assistant", "paths": "a/** → model"})
        feed.refresh_from_db()
        assert (feed.cursor, feed.worker, feed.interval_minutes) == ({}, "", 60)
        entry = AuditEntry.objects.filter(action="feed.update").latest("pk")
        assert "ghp_1" not in str(entry.before) + str(entry.after)

    @pytest.mark.parametrize("wrong", [
        {"base_url": "ftp://x"}, {"base_url": "https://user:pass@host"}, {"base_url": "http://"}, {"token": "a b"},
        {"token": "x" * 401}, {"interval_minutes": 4}, {"interval_minutes": 99999}, {"lookback_days": 0}, {"name": " "},
        {"options": {"project": "nothing"}}, {"options": {"project": "a/b", "paths": "x"}}, {"kind": "github"},
        {"kind": "pull_mlflow", "base_url": ""},
    ])  # fmt: skip
    def test_what_is_refused(self, admin, wrong):
        with pytest.raises(UserError):
            made(admin, "https://git.example.org", **wrong)
        assert not ChangeFeed.objects.exists()

    def test_known_addresses_are_filled_in(self, admin):
        assert made(admin, "").base_url == "https://api.github.com"
        assert made(admin, "https://github.com", name="2").base_url == "https://api.github.com"
        assert made(admin, "", name="3", kind="pull_gitlab").base_url == "https://gitlab.com"

    def test_only_administrators(self, admin):
        feed, reviewer = made(admin, ""), make_person("Rita", Role.REVIEWER)
        for what in (
            lambda: pulled_feeds.update_feed(feed=feed, by=reviewer, name="x"),
            lambda: pulled_feeds.pull_now(feed=feed, by=reviewer), lambda: made(reviewer, "", name="y"),
        ):  # fmt: skip
            with pytest.raises(PermissionDenied):
                what()

    def test_nothing_is_delivered_to_a_feed_that_is_pulled(self, admin, client):
        feed = made(admin, "")
        ChangeFeed.objects.filter(pk=feed.pk).update(secret_encrypted=encrypt(""))
        body = b'{"object_kind": "push"}'
        for headers in ({"x-gitlab-token": ""}, {"webhook-id": "1"}):
            address = reverse("change-hook", args=[feed.public_id])
            answer = client.post(address, body, content_type="application/json", headers=headers)
            assert answer.status_code == 401
        with pytest.raises(UserError, match="pulled with a token"):
            feeds.rotate_secret(feed=feed, by=admin)
