"""Signed webhooks: genuine ones become changes once, everything else changes nothing and learns nothing."""

import base64
import hashlib
import hmac
import json
import time
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from postmortem.accounts.models import AuditEntry, Role
from postmortem.changes import feeds
from postmortem.changes.models import Change, ChangeDelivery, ChangeFeed
from postmortem.changes.pulled_feeds import create_pulled_feed
from postmortem.changes.webhooks import MAX_BODY_BYTES, records_of
from postmortem.lib.clock import utc_now
from postmortem.lib.errors import UserError
from postmortem.traces.services import read_blob
from tests.api.client import Api
from tests.builders import make_feature, make_person

CHANGE = {"id": "deploy-1", "layer": "infrastructure", "at": "2026-03-09T09:40:00Z", "summary": "Deployed 5.1"}
PROMPT = {
    "id": "e1", "timestamp": "2026-03-09T09:40:00Z", "type": "prompt-version", "apiVersion": "v1", "action": "created",
    "prompt": {
        "id": "p", "name": "answer", "version": 7, "labels": [], "createdBy": "ann", "commitMessage": "Shorter\nmore",
        "createdAt": "2026-03-09T09:39:00Z", "updatedAt": "2026-03-09T09:39:00Z",
    },
}  # fmt: skip
CD = {
    "context": {
        "version": "0.4.1", "id": "cd-1", "source": "/ci", "type": "dev.cdevents.service.upgraded.0.2.0",
        "timestamp": "2026-03-09T09:40:00Z",
    },
    "subject": {
        "id": "assistant", "source": "/ci",
        "content": {"environment": {"id": "production"}, "artifactId": "pkg:oci/assistant@sha256:abc?tag=5.1"},
    },
}  # fmt: skip


class TestEvents:
    """Pure: which change a delivery tells."""

    def one(self, kind, value, **headers):
        (record,) = records_of(kind, headers, json.dumps(value).encode())
        return record

    def test_the_open_format_and_cloudevents_around_it(self):
        assert self.one("standard", CHANGE).id == "deploy-1"
        event = {"specversion": "1.0", "id": "ce-9", "source": "/ci", "type": "x", "time": "2026-03-09T10:00:00Z"}
        inner = {"layer": "retrieval", "summary": "Rebuilt"}
        found = self.one("standard", event | {"data": inner})
        assert (found.id, found.at.hour, found.layer.value) == ("ce-9", 10, "retrieval")
        binary = {"ce-specversion": "1.0", "ce-id": "b-1", "ce-time": "2026-03-09T11:00:00Z", "ce-type": "x"}
        assert self.one("standard", inner, **binary).id == "b-1"

    def test_lines_are_a_list_and_a_binary_cloudevent_is_one(self):
        other = CHANGE | {"id": "deploy-2"}
        lines = "\n".join(json.dumps(one) for one in (CHANGE, other)).encode()
        assert [record.id for record in records_of("standard", {}, lines)] == ["deploy-1", "deploy-2"]
        with pytest.raises(UserError, match="Line 2"):
            records_of("standard", {}, json.dumps(CHANGE).encode() + b"\n{")
        with pytest.raises(UserError, match="one change"):
            records_of("standard", {"ce-specversion": "1.0", "ce-id": "b"}, json.dumps([CHANGE, other]).encode())

    def test_cdevents_of_services(self):
        found = self.one("standard", CD)
        assert found.summary.startswith("assistant upgraded")
        assert (found.facet, found.to_version) == ("release", "sha256:abc")
        assert found.scope == {"environment": ("production",)}
        event = {"specversion": "1.0", "id": "x", "type": CD["context"]["type"], "data": CD}
        assert self.one("standard", event).id == "cdevents:cd-1"
        merged = json.loads(json.dumps(CD))
        merged["context"]["type"] = "dev.cdevents.change.merged.0.2.0"
        merged["subject"] = {"id": "pr-12", "type": "change", "content": {"repository": {"id": "shop/assistant"}}}
        found = self.one("standard", merged)
        assert (found.summary, found.facet) == ("change pr-12 merged in shop/assistant", None)
        published = json.loads(json.dumps(CD))
        published["context"]["type"] = "dev.cdevents.artifact.published.0.2.0"
        published["subject"] = {"id": "pkg:oci/assistant@sha256:abc?tag=5.1", "type": "artifact", "content": {}}
        found = self.one("standard", published)
        assert (found.facet, found.to_version) == (None, "sha256:abc")  # it runs nowhere yet
        other = json.loads(json.dumps(CD))
        other["context"]["type"] = "dev.cdevents.build.finished.0.2.0"
        assert records_of("standard", {}, json.dumps(other).encode()) == []
        back = json.loads(json.dumps(CD))
        back["context"]["type"] = "dev.cdevents.service.rolledback.0.2.0"
        assert self.one("standard", back).is_rollback

    def test_langfuse_versions_and_label_moves(self):
        found = self.one("langfuse", PROMPT)
        assert (found.id, found.to_version, found.summary) == ("prompt:answer:7", "7", "Prompt answer v7: Shorter")
        moved = PROMPT | {"action": "updated", "prompt": PROMPT["prompt"] | {"labels": ["production"]}}
        assert "is production now" in self.one("langfuse", moved).summary
        other_half = PROMPT | {"action": "updated"}
        assert records_of("langfuse", {}, json.dumps(other_half).encode()) == []

    def test_github_releases_and_deployments(self):
        release = {
            "action": "published", "repository": {"full_name": "shop/assistant"},
            "release": {
                "id": 5, "tag_name": "v5.1", "published_at": "2026-03-09T09:40:00Z", "author": {"login": "ann"},
                "html_url": "https://github.com/shop/assistant/releases/tag/v5.1",
            },
        }  # fmt: skip
        found = self.one("github", release, **{"x-github-event": "release"})
        assert (found.id, found.to_version, found.actor) == ("github:release:5", "v5.1", "ann")
        status = {
            "repository": {"full_name": "shop/assistant"},
            "deployment": {"id": 8, "sha": "abc123", "ref": "main", "environment": "production"},
            "deployment_status": {"state": "success", "created_at": "2026-03-09T09:40:00Z"},
        }
        found = self.one("github", status, **{"x-github-event": "deployment_status"})
        assert found.scope == {"environment": ("production",)}
        status["deployment_status"]["state"] = "failure"
        headers = {"x-github-event": "deployment_status"}
        assert records_of("github", headers, json.dumps(status).encode()) == []
        assert records_of("github", {"x-github-event": "ping"}, b"{}") == []

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("standard", b"{"), ("standard", b"[1]"), ("standard", b"[" * 9000), ("standard", b'{"id": "x"}'),
            ("standard", b'{"specversion": "1.0", "type": "dev.cdevents.service.deployed.0.1.0", "data": {}}'),
            ("langfuse", b'{"type": "trace"}'), ("langfuse", b'{"type": "prompt-version", "prompt": {"name": "x"}}'),
            ("standard", b'{"id": NaN}'),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_said(self, kind, body):
        with pytest.raises(UserError):
            records_of(kind, {}, body)


@pytest.fixture
def admin(db):
    return make_person("Olga Admin", Role.ADMINISTRATOR)


def made(admin, kind="standard", secret="", name="CI"):
    return feeds.create_feed(by=admin, feature=make_feature(), name=name, kind=kind, secret=secret)


def address(feed):
    return reverse("change-hook", args=[feed.public_id])


def standard(secret, body, *, identifier="msg_1", age=0):
    stamp = str(int(time.time()) - age)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = base64.b64encode(hmac.digest(key, f"{identifier}.{stamp}.".encode() + body, "sha256")).decode()
    return {"webhook-id": identifier, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signed}"}


def send(client, feed, body, headers):
    return client.post(address(feed), body, content_type="application/json", headers=headers)


class TestDeliveries:
    """From the wire to the log."""

    def test_a_signed_change_is_stored_with_its_bytes_once(self, client, admin):
        feed, secret = made(admin)
        body = json.dumps(CHANGE).encode()
        answer = send(client, feed, body, standard(secret, body))
        assert answer.json() == {"added": 1, "unchanged": 0, "conflicting": [], "notes": []}
        change = Change.objects.get()
        assert (change.source, change.origin, read_blob(change.raw)) == ("webhook", "CI", body)
        assert send(client, feed, body, standard(secret, body)).json() == {"repeated": True}
        assert send(client, feed, body, standard(secret, body, identifier="msg_2")).json()["unchanged"] == 1
        feed.refresh_from_db()
        assert (feed.received, feed.last_error) == (2, "")

    def test_forged_late_and_altered_deliveries_learn_nothing(self, client, admin):
        feed, secret = made(admin)
        body = json.dumps(CHANGE).encode()
        good = standard(secret, body)
        for headers, sent in (
            ({}, body), (standard("whsec_" + base64.b64encode(b"x" * 32).decode(), body), body),
            (standard(secret, body, age=400), body), (standard(secret, body, age=-400), body),
            (good, body + b" "), (good | {"webhook-id": "other"}, body), (good | {"webhook-timestamp": "x"}, body),
        ):  # fmt: skip
            answer = send(client, feed, sent, headers)
            assert answer.status_code == 401
            assert answer.json() == {"detail": "The signature is missing, wrong or too old."}
        assert client.get(address(feed)).status_code == 401
        assert not Change.objects.exists()
        assert not ChangeDelivery.objects.exists()

    def test_langfuse_and_github_sign_in_their_own_ways(self, client, admin):
        langfuse, secret = made(admin, "langfuse", "lf-whsec_abcdefgh")
        body, stamp = json.dumps(PROMPT).encode(), str(int(time.time()))
        signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"x-langfuse-signature": f"t={stamp},v1={signed}"}
        assert send(client, langfuse, body, headers).json()["added"] == 1
        assert send(client, langfuse, body, headers).json() == {"repeated": True}
        github, secret = made(admin, "github", name="GitHub")
        signed = "sha256=" + hmac.new(secret.encode(), b"{}", hashlib.sha256).hexdigest()
        headers = {"x-hub-signature-256": signed, "x-github-delivery": "d-1", "x-github-event": "ping"}
        assert send(client, github, b"{}", headers).json()["added"] == 0

    def test_gitlab_sends_its_secret_and_every_body_counts_once(self, client, admin):
        feed, secret = made(admin, "gitlab")
        body = json.dumps({
            "object_kind": "release", "action": "create", "tag": "v8", "released_at": "2026-03-09 09:40:00 UTC",
            "project": {"path_with_namespace": "shop/assistant"}, "url": "https://git.example.org/v8",
        }).encode()  # fmt: skip
        for wrong in ({}, {"x-gitlab-token": secret + "x"}, {"x-gitlab-token": ""}, {"x-gitlab-token": "ü"}):
            assert send(client, feed, body, wrong).status_code == 401
        headers = {"x-gitlab-token": secret, "x-gitlab-event": "Release Hook", "idempotency-key": "1"}
        assert send(client, feed, body, headers).json()["added"] == 1
        assert send(client, feed, body, headers | {"idempotency-key": "2"}).json() == {"repeated": True}
        assert Change.objects.get().feed == feed

    def test_mlflow_signs_with_the_text_of_its_secret(self, client, admin):
        feed, secret = made(admin, "mlflow")
        body, stamp = json.dumps({
            "entity": "model_version_alias", "action": "created", "timestamp": "2026-03-09T09:40:00+00:00",
            "data": {"name": "answerer", "alias": "champion", "version": "4"},
        }).encode(), str(int(time.time()))  # fmt: skip
        signed = hmac.digest(secret.encode(), f"d-1.{stamp}.".encode() + body, "sha256")
        headers = {
            "x-mlflow-delivery-id": "d-1", "x-mlflow-timestamp": stamp,
            "x-mlflow-signature": f"v1,{base64.b64encode(signed).decode()}",
        }  # fmt: skip
        for wrong in ({"x-mlflow-delivery-id": "d-2"}, {"x-mlflow-timestamp": "1"}, {"x-mlflow-signature": "v1,"}):
            assert send(client, feed, body, headers | wrong).status_code == 401
        assert send(client, feed, body, headers).json()["added"] == 1
        assert send(client, feed, body, headers).json() == {"repeated": True}
        assert Change.objects.get().summary == "Model answerer: alias champion set to v4"

    def test_a_merge_without_its_files_wakes_the_pull_of_the_project(self, client, admin):
        hook, secret = made(admin, "gitlab")
        later = utc_now() + timedelta(hours=5)
        for name, project, more in (
            ("same", "Shop/Assistant", {}), ("other", "shop/web", {}), ("failing", "shop/assistant", {"failures": 2}),
            ("limited", "shop/assistant", {"last_error": "no more"}),
            ("paused", "shop/assistant", {"paused": True}),
        ):  # fmt: skip
            feed = create_pulled_feed(
                by=admin, feature=make_feature(), name=name, kind="pull_gitlab", options={"project": project}
            )
            ChangeFeed.objects.filter(pk=feed.pk).update(next_due=later, **more)
        body = json.dumps({
            "object_kind": "merge_request", "project": {"path_with_namespace": "shop/assistant"},
            "object_attributes": {"action": "merge", "target_branch": "main", "iid": 1},
        }).encode()  # fmt: skip
        assert send(client, hook, body, {"x-gitlab-token": secret}).json()["added"] == 0
        assert list(ChangeFeed.objects.filter(next_due__lt=later).values_list("name", flat=True)) == ["same"]

    def test_ids_that_begin_alike_are_two_deliveries(self, client, admin):
        feed, secret = made(admin)
        body = json.dumps(CHANGE).encode()
        for last in "ab":
            answer = send(client, feed, body, standard(secret, body, identifier="x" * 300 + last))
            assert "repeated" not in answer.json()
        feed.refresh_from_db()
        assert feed.received == 2

    def test_a_faulty_delivery_is_told_to_both_and_may_come_again(self, client, admin):
        feed, secret = made(admin)
        body = b'{"id": "x", "layer": "kitchen", "at": "2026-03-09T09:40:00Z"}'
        answer = send(client, feed, body, standard(secret, body))
        assert answer.status_code == 400
        assert "kitchen" in answer.json()["detail"]
        feed.refresh_from_db()
        assert "kitchen" in feed.last_error
        assert not ChangeDelivery.objects.exists()

    def test_paused_rotated_and_oversized(self, client, admin):
        feed, secret = made(admin)
        body = json.dumps(CHANGE).encode()
        feeds.pause_feed(feed=feed, by=admin, paused=True)
        assert send(client, feed, body, standard(secret, body)).status_code == 401
        feeds.pause_feed(feed=feed, by=admin, paused=False)
        renewed = feeds.rotate_secret(feed=feed, by=admin)
        assert send(client, feed, body, standard(secret, body)).status_code == 401
        assert send(client, feed, body, standard(renewed, body)).status_code == 200
        huge = b" " * (MAX_BODY_BYTES + 1)
        assert send(client, feed, huge, standard(renewed, huge)).status_code == 413


class TestPages:
    """Who makes feeds, and that the secret shows once."""

    def test_an_administrator_adds_pauses_renews_and_deletes(self, client, admin):
        client.force_login(admin)
        feature = make_feature()
        page = client.post(reverse("feeds"), {"feature": feature.pk, "name": "CI", "kind": "standard"})
        assert "It is shown this once" in page.content.decode()
        feed = ChangeFeed.objects.get()
        assert page.context["secret"].startswith("whsec_")
        assert page.context["secret"] not in client.get(reverse("feeds")).content.decode()
        again = client.post(reverse("feeds"), {"feature": feature.pk, "name": "CI", "kind": "standard"})
        assert "choose another name" in again.content.decode()
        assert "It is shown this once" in client.post(reverse("feed-rotate", args=[feed.pk])).content.decode()
        assert "is paused" in client.post(reverse("feed-pause", args=[feed.pk]), follow=True).content.decode()
        assert "is gone" in client.post(reverse("feed-delete", args=[feed.pk]), follow=True).content.decode()
        assert AuditEntry.objects.filter(action__startswith="feed.").count() == 4

    def test_others_look_and_do_not_touch(self, client, admin):
        feed, _ = made(admin)
        reviewer = make_person("Rita Reviewer", Role.REVIEWER)
        client.force_login(reviewer)
        page = client.get(reverse("feeds")).content.decode()
        assert "CI" in page
        assert str(feed.public_id) not in page
        for name in ("feed-rotate", "feed-pause", "feed-delete"):
            assert client.post(reverse(name, args=[feed.pk])).status_code == 403
        assert client.post(reverse("feeds"), {"name": "x"}).status_code == 403
        with pytest.raises(PermissionDenied):
            made(reviewer, name="Mine")

    def test_langfuse_needs_its_own_secret(self, admin):
        with pytest.raises(UserError, match="lf-whsec_"):
            made(admin, "langfuse")

    def test_the_api_does_the_same(self, admin):
        api = Api(admin)
        make_feature()
        new = {"feature": "Help Centre Assistant", "name": "CI", "kind": "standard"}
        feed = api.ask("post", "feeds/", new, expect=201)
        assert feed["secret"].startswith("whsec_")
        assert "secret" not in api.get("feeds/")["results"][0]
        assert api.ask("patch", f"feeds/{feed['id']}/", {"paused": True})["paused"] is True
        assert api.ask("post", f"feeds/{feed['id']}/secret/")["secret"] != feed["secret"]
        api.ask("delete", f"feeds/{feed['id']}/", expect=204)
        theirs = api.ask("post", "feeds/", new | {"kind": "langfuse", "secret": "lf-whsec_12345678"}, expect=201)
        renewed = api.ask("post", f"feeds/{theirs['id']}/secret/", {"secret": "lf-whsec_87654321"})
        assert renewed["secret"] == "lf-whsec_87654321"
        api.ask("post", f"feeds/{theirs['id']}/secret/", {}, expect=400)
