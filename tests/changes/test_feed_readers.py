"""Pulled feeds, pure: what each host's answers tell, what is asked, where a pull goes on, hostile answers."""

import json
from datetime import timedelta

import pytest

from postmortem.changes import pull_github, pull_gitlab, pull_mlflow
from postmortem.changes.feed_http import Budget, FeedReader, Work, entries_of
from postmortem.changes.feed_options import read_options
from postmortem.changes.github_changes import read_event as github_event
from postmortem.changes.gitlab_changes import read_event as gitlab_event
from postmortem.changes.mlflow_changes import read_event as mlflow_event
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer
from postmortem.traces.source_http import AccessRefused, RateLimited, SourceError
from tests.changes.hosts import NOW, Registry, ago, github, gitlab, sha, version

PATHS = "prompts/** → prompt\nretrieval/*.yaml → retrieval"
OPTIONS = read_options({"project": "shop/assistant", "paths": PATHS})


class Log:
    """What is stored, and the cursor, between pulls."""

    def __init__(self, pull, options=OPTIONS):
        self.pull, self.options = pull, options
        self.stored, self.cursor, self.unfinished, self.unreadable = {}, {}, False, []
        self.webhooks = []

    def run(self, base, *, requests=250, now=NOW, days=30, **reader):
        def told_between(begins, start, end):
            return any(record.id.startswith(begins) and start <= record.at <= end for record in self.webhooks)

        work = Work(
            self.cursor,
            lambda ids: set(self.stored).intersection(ids),
            NOW - timedelta(days=days),
            now,
            told_between=told_between,
        )
        self.unfinished, new = False, []
        try:
            with FeedReader(base, budget=Budget(requests), backoff_seconds=0.01, **reader) as host:
                for step in self.pull(host, self.options, work):
                    self.cursor = json.loads(json.dumps(step.cursor))
                    self.unfinished |= step.unfinished
                    for told in step.told:
                        assert told.record.id not in self.stored
                        self.stored[told.record.id] = told
                        new.append(told.record.id)
        finally:
            self.unreadable = work.unreadable
        return new

    def __getitem__(self, identifier):
        return self.stored[identifier].record


class TestGithub:
    def test_everything_new_is_told_once_with_its_bytes(self):
        host, log = github(), Log(pull_github.pull)
        with host.serving() as base:
            log.run(base, token="ghp_1", headers=pull_github.HEADERS)
            assert host.headers["authorization"] == "Bearer ghp_1"
            assert host.headers["x-github-api-version"]
            first = len(host.asked)
            assert log.run(base) == []
        assert set(log.stored) == {
            "github:release:51", "github:deployment:83", "github:deployment:82",
            f"github:merge:shop/assistant:{sha(912)}:prompt", f"github:merge:shop/assistant:{sha(909)}:retrieval",
            f"github:merge:shop/assistant:{sha(909)}:prompt", f"github:merge:shop/assistant:{sha(700)}:prompt",
        }  # fmt: skip
        release = log["github:release:51"]
        assert (release.facet, release.to_version, release.actor) == ("release", "v5.1", "ann")
        deployed = log["github:deployment:83"]
        assert deployed.at == NOW - timedelta(hours=1.8)  # when it went live, not when it was retired
        assert (deployed.scope, deployed.to_version) == ({"environment": ("production",)}, sha(83))
        assert b'"success"' in log.stored["github:deployment:83"].raw
        merged = log[f"github:merge:shop/assistant:{sha(912)}:prompt"]
        assert merged.summary == "Shorter refund answers (#12) (prompts/refund.md)"
        assert (merged.layer, merged.details["paths"]) == (Layer.PROMPT, ["prompts/refund.md"])
        direct = log[f"github:merge:shop/assistant:{sha(700)}:prompt"]
        assert direct.summary.startswith("Fix the tone (")
        # The second pull asks for lists, and of the entries only for the deployment that is still under way.
        again = host.asked[first:]
        assert [address for address in again if "/statuses" in address or "/files" in address] == [
            "/repos/shop/assistant/deployments/84/statuses?per_page=100"
        ]
        assert len(again) == 7

    def test_a_deployment_that_succeeds_later_is_told_then(self):
        host, log = github(), Log(pull_github.pull)
        with host.serving() as base:
            log.run(base)
            statuses = host.lists["/repos/shop/assistant/deployments/84/statuses"]
            statuses.insert(0, {"state": "success", "created_at": ago(minutes=1)})
            assert log.run(base, now=NOW + timedelta(hours=1)) == ["github:deployment:84"]

    def test_environments_and_a_short_look_back_narrow_it(self):
        host = github()
        log = Log(pull_github.pull, read_options({"project": "shop/assistant", "environments": "production"}))
        with host.serving() as base:
            log.run(base, days=1)
        assert set(log.stored) == {"github:release:51", "github:deployment:83"}
        assert not host.count("/pulls")

    def test_a_pull_that_has_asked_enough_goes_on_from_there(self):
        host, log, rounds = github(), Log(pull_github.pull), 0
        whole = Log(pull_github.pull)
        with host.serving() as base:
            whole.run(base)
            while rounds == 0 or log.unfinished:
                log.run(base, requests=9)
                rounds += 1
                assert rounds < 6
        assert rounds > 1
        assert set(log.stored) == set(whole.stored)

    def test_after_a_long_pause_nothing_in_between_is_left_out(self):
        host, log = github(), Log(pull_github.pull, read_options({"project": "shop/assistant"}))
        kept, host.lists["/repos/shop/assistant/releases"] = host.lists["/repos/shop/assistant/releases"], []
        with host.serving() as base:
            log.run(base, days=30)
            host.lists["/repos/shop/assistant/releases"] = kept
            assert "github:release:51" in log.run(base, days=30 - 60, now=NOW + timedelta(days=60))

    def test_pages_are_followed_down_to_the_mark(self):
        host, log = github(), Log(pull_github.pull, read_options({"project": "shop/assistant"}))
        base_path = "/repos/shop/assistant"
        host.lists[f"{base_path}/deployments"] = [
            {"id": 1000 - n, "sha": sha(n), "environment": "e", "created_at": ago(hours=n)} for n in range(1, 251)
        ]
        for n in range(1, 251):
            host.lists[f"{base_path}/deployments/{1000 - n}/statuses"] = [
                {"state": "success", "created_at": ago(hours=n)}
            ]
        with host.serving() as base:
            log.run(base, requests=400)
            assert sum("deployment" in identifier for identifier in log.stored) == 250
            before = host.count("/deployments?")
            log.run(base)
        assert host.count("/deployments?") == before + 1  # the newest page reaches the mark

    def test_one_entry_that_cannot_be_read_stops_nothing(self):
        host, log = github(), Log(pull_github.pull)
        host.lists["/repos/shop/assistant/releases"].insert(
            0, {"id": 99, "tag_name": ["x"], "published_at": ago(hours=1), "created_at": 7, "html_url": {}, "author": 3}
        )
        bad = host.lists["/repos/shop/assistant/deployments/82/statuses"][0]
        bad["created_at"] = "yesterday"
        with host.serving() as base:
            log.run(base)
        assert "github:release:51" in log.stored
        assert "github:deployment:82" not in log.stored
        assert log.unreadable == ["The event names no time."]

    @pytest.mark.parametrize(
        ("instead", "error", "words"),
        [
            ({"status": 401}, AccessRefused, "does not accept the token"),
            ({"status": 404, "body": '{"message": "Not Found"}'}, AccessRefused, "no such project.*Not Found"),
            ({"status": 403, "body": '{"message": "Forbidden"}'}, AccessRefused, "needs the right"),
            ({"status": 301, "headers": {"Location": "http://169.254.169.254/"}}, SourceError, "redirects"),
            ({"body": "<html>Sign in"}, SourceError, "other than JSON"),
            ({"body": "[" * 5000}, SourceError, "other than JSON"),
            ({"body": "[1, 2]"}, SourceError, "without a repository"),
            ({"body": '{"full_name": {"a": 1}, "default_branch": []}'}, SourceError, "without a repository"),
            ({"status": 429, "headers": {"Retry-After": "90"}}, RateLimited, "going on in 2 min"),
            ({"status": 403, "headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"}},
             RateLimited, "no more reads"),
        ],
    )  # fmt: skip
    def test_faults_are_one_sentence(self, instead, error, words):
        host, log = github(), Log(pull_github.pull)
        host.instead["/repos/shop/assistant"] = instead
        with host.serving() as base, pytest.raises(error, match=words):
            log.run(base, token="t")
        assert len(host.asked) == 1  # nothing is sent on anywhere

    def test_what_was_found_before_a_fault_is_kept(self):
        host, log = github(), Log(pull_github.pull)
        host.instead["/repos/shop/assistant/deployments/82/statuses"] = {"status": 429, "headers": {"Retry-After": "9"}}
        with host.serving() as base, pytest.raises(RateLimited) as limited:
            log.run(base)
        assert limited.value.retry_after_seconds == 9
        assert set(log.stored) == {"github:release:51", "github:deployment:83"}

    def test_an_endless_answer_is_cut_off(self, monkeypatch):
        monkeypatch.setattr("postmortem.changes.feed_http.MAX_ANSWER_BYTES", 2**20)
        host, log = github(), Log(pull_github.pull)
        host.instead["/repos/shop/assistant"] = {"body": "[" + "1," * 2**20}
        with host.serving() as base, pytest.raises(SourceError):
            log.run(base)


class TestGitlab:
    def test_everything_new_is_told_once(self):
        host, log = gitlab(), Log(pull_gitlab.pull)
        with host.serving() as base:
            log.run(base, token="glpat-1")
            assert host.headers["authorization"] == "Bearer glpat-1"
            assert log.run(base) == []
        assert set(log.stored) == {
            "gitlab:deployment:shop/assistant:42", "gitlab:release:shop/assistant:v8",
            f"gitlab:merge:shop/assistant:{sha(44)}:prompt", f"gitlab:merge:shop/assistant:{sha(55)}:prompt",
        }  # fmt: skip
        pushed = log[f"gitlab:merge:shop/assistant:{sha(55)}:prompt"]
        assert (pushed.summary, pushed.actor) == ("Hot fix of the greeting (prompts/hello.md)", "Ann")
        assert pushed.at == NOW - timedelta(hours=6)
        assert host.count("/diff") - host.count("/diffs") == 1  # what merge requests brought is told by them
        deployed = log["gitlab:deployment:shop/assistant:42"]
        assert (deployed.to_version, deployed.at, deployed.actor) == (sha(5), NOW - timedelta(hours=4), "ann")
        merged = log[f"gitlab:merge:shop/assistant:{sha(44)}:prompt"]
        assert (merged.summary, merged.actor) == ("Warmer tone (!4) (prompts/tone.md)", "bob")
        assert host.count("/merge_requests/3/diffs") == 1  # settled: it touched no named path

    def test_a_project_by_its_number(self):
        log = Log(pull_gitlab.pull, read_options({"project": "7"}))
        with gitlab().serving() as base:
            log.run(base)
        assert "gitlab:release:shop/assistant:v8" in log.stored

    def test_an_empty_or_wrong_list_is_said(self):
        host, log = gitlab(), Log(pull_gitlab.pull)
        host.instead["/api/v4/projects/7/deployments"] = {"body": '{"error": "x"}'}
        with host.serving() as base, pytest.raises(SourceError, match="deployments without a list"):
            log.run(base)


class TestLongLists:
    """A list of any length: each pull asks so much and no more, the next one goes on where it was."""

    def pulls(self, log, base, **how):
        """How many pulls it takes until nothing is left over."""
        for number in range(1, 40):
            log.run(base, **how)
            if not log.unfinished:
                return number
        raise AssertionError("it never ends")

    def test_five_thousand_requests_of_github(self):
        """All but the oldest were closed without a merge, so that each costs no request of its own."""
        host, log = github(), Log(pull_github.pull)
        path = "/repos/shop/assistant/pulls"
        closed = host.lists[path][2]
        oldest = host.lists[path][0] | {"updated_at": ago(days=20), "merged_at": ago(days=20)}
        host.lists[path] = [closed | {"number": n, "updated_at": ago(minutes=n)} for n in range(1, 5_000)] + [oldest]
        with host.serving() as base:
            assert self.pulls(log, base, requests=25) > 2
            assert f"github:merge:shop/assistant:{sha(912)}:prompt" in log.stored
            before = host.count("/pulls?")
            log.run(base)
        assert host.count("/pulls?") == before + 2  # the walk is over: down to its beginning and no further

    def test_what_came_in_the_middle_is_read_by_the_next_walk(self):
        host, log = github(), Log(pull_github.pull, read_options({"project": "shop/assistant"}))
        path = "/repos/shop/assistant/deployments"
        host.lists[path] = [
            {"id": n, "sha": sha(n), "environment": "production", "created_at": ago(hours=2 + n / 100)}
            for n in range(1, 251)
        ]
        late = {"id": 900, "sha": sha(9), "environment": "production", "created_at": ago(hours=1)}
        for n in (*range(1, 251), 900):
            host.lists[f"{path}/{n}/statuses"] = [{"state": "success", "created_at": ago(hours=1)}]
        with host.serving() as base:
            log.run(base, requests=150)
            assert log.unfinished
            host.lists[path].insert(0, late)
            self.pulls(log, base, requests=150)
            log.run(base, now=NOW + timedelta(minutes=30))
        assert sum("deployment" in identifier for identifier in log.stored) == 251

    def test_four_thousand_five_hundred_deployments_of_gitlab(self):
        host, log = gitlab(), Log(pull_gitlab.pull)
        base_path = "/api/v4/projects/7"
        rows = [
            {"id": n, "iid": n, "ref": "main", "sha": sha(n), "status": "success", "created_at": ago(minutes=5_000 - n),
             "updated_at": ago(minutes=5_000 - n), "environment": {"name": "production"}}
            for n in range(1, 4_501)
        ]  # fmt: skip
        host.lists[f"{base_path}/deployments"] = rows
        with host.serving() as base:
            assert self.pulls(log, base, requests=20) > 2
        assert sum("deployment" in identifier for identifier in log.stored) == 4_500

    def test_six_thousand_models_of_mlflow(self):
        host, log = Registry(), Log(pull_mlflow.pull)
        host.page = 100
        host.models = [{"name": f"m{n}", "aliases": [{"alias": "live", "version": "1"}]} for n in range(6_000)]
        host.versions = [version(f"m{n}", "1", days=1 + n / 10_000) for n in range(6_000)]
        with host.serving() as base:
            assert self.pulls(log, base, requests=25) > 3
            assert len(log.stored) == 6_000  # aliases are only remembered at first
            host.models[5_999]["aliases"] = [{"alias": "live", "version": "2"}]
            self.pulls(log, base, requests=25, now=NOW + timedelta(hours=1))
            assert len(log.stored) == 6_001

    def test_a_place_that_the_registry_forgot_is_begun_again(self):
        host, log = Registry(), Log(pull_mlflow.pull)
        with host.serving() as base:
            log.run(base, requests=1)
            assert log.cursor["walks"]["versions"]["at"] == "2"
            log.cursor["walks"]["versions"]["at"] = "5000000"
            host.instead["/api/2.0/mlflow/model-versions/search"] = {"status": 400}
            with pytest.raises(SourceError):
                log.run(base)
            host.instead = {}
            log.run(base)
        assert len(log.stored) == 3


class TestMlflow:
    def test_versions_at_first_then_moves(self):
        host, log = Registry(), Log(pull_mlflow.pull, read_options({"facet": "model_version"}))
        with host.serving() as base:
            log.run(base)
            assert set(log.stored) == {
                "mlflow:answerer:version:1",
                "mlflow:answerer:version:2",
                "mlflow:judge:version:1",
            }
            made = log["mlflow:answerer:version:2"]
            assert made.summary == "Model answerer version 2 registered: Fine-tuned on March"
            assert (made.layer, made.facet, made.to_version) == (Layer.MODEL, "model_version", "2")
            assert made.link == f"{base}/#/models/answerer/versions/2"
            assert log.run(base, now=NOW + timedelta(minutes=20)) == []
            host.models[0]["aliases"] = [{"alias": "champion", "version": "2"}, {"alias": "trial", "version": "1"}]
            host.versions[0] |= {
                "current_stage": "Archived",
                "last_updated_timestamp": int(NOW.timestamp() * 1000) + 5000,
            }
            new = log.run(base, now=NOW + timedelta(minutes=40))
            assert log.run(base, now=NOW + timedelta(minutes=60)) == []
        stage, champion, trial = (log[identifier] for identifier in new)
        assert stage.summary == "Model answerer version 1: stage Production → Archived"
        assert stage.facet is None  # it does not begin to serve
        assert (champion.from_version, champion.to_version, champion.rollout) == ("1", "2", "ramp")
        assert (champion.at, champion.until) == (NOW + timedelta(minutes=20), NOW + timedelta(minutes=40))
        assert trial.summary == "Model answerer: alias trial set to v1"

    def test_a_move_that_a_webhook_told_is_not_told_again(self):
        host, log = Registry(), Log(pull_mlflow.pull)
        event = {
            "entity": "model_version_alias", "action": "created",
            "timestamp": (NOW + timedelta(minutes=10)).isoformat(),
            "data": {"name": "answerer", "alias": "champion", "version": "2"},
        }  # fmt: skip
        (told,) = mlflow_event(event, read_options({}))
        assert (told.at, told.until, told.rollout) == (
            NOW + timedelta(minutes=10),
            NOW + timedelta(minutes=10),
            "instant",
        )
        assert told.summary == "Model answerer: alias champion set to v2"
        with host.serving() as base:
            log.run(base)
            host.models[0]["aliases"][0]["version"] = "2"
            log.webhooks = [told]
            assert log.run(base, now=NOW + timedelta(minutes=20)) == []
            host.models[0]["aliases"][0]["version"] = "1"
            assert len(log.run(base, now=NOW + timedelta(minutes=40))) == 1

    def test_webhooks_of_versions_prompts_and_aliases(self):
        log = Log(pull_mlflow.pull)
        with Registry().serving() as base:
            log.run(base)
        envelope = {"action": "created", "timestamp": NOW.isoformat()}
        version = {
            "name": "answerer",
            "version": "2",
            "source": "s3://m",
            "tags": {"a": "b"},
            "description": "Fine-tuned",
        }
        (record,) = mlflow_event(envelope | {"entity": "model_version", "data": version}, read_options({}))
        assert record.id in log.stored
        prompt = {"name": "greeting", "version": "3", "template": "Hello", "tags": {}, "description": None}
        (record,) = mlflow_event(envelope | {"entity": "prompt_version", "data": prompt}, read_options({}))
        assert (record.layer, record.summary) == (Layer.PROMPT, "Prompt greeting version 3 registered")
        gone = {"entity": "prompt_alias", "action": "deleted", "data": {"name": "greeting", "alias": "live"}}
        (record,) = mlflow_event(envelope | gone, read_options({}))
        assert (record.summary, record.to_version) == ("Prompt greeting: alias live taken away", None)
        assert mlflow_event(envelope | gone, read_options({"models": "other"})) == []
        for other in ("registered_model", "model_version_tag", ["x"], None):
            assert mlflow_event(envelope | {"entity": other, "data": version}, read_options({})) == []

    def test_named_models_only_and_prompts_of_the_registry(self):
        host, log = Registry(), Log(pull_mlflow.pull, read_options({"models": "greeting"}))
        tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
        host.versions.append(version("greeting", "1", days=1, tags=tags))
        with host.serving() as base:
            log.run(base)
        assert list(log.stored) == ["mlflow:greeting:version:1"]
        assert log["mlflow:greeting:version:1"].layer is Layer.PROMPT

    @pytest.mark.parametrize("more", [
        {"creation_timestamp": "soon"}, {"creation_timestamp": -1e300}, {"creation_timestamp": None},
        {"version": {"a": 1}}, {"name": ["x"]}, {"description": "\ud800\x00"}, {"current_stage": ["x"], "tags": "many"},
    ])  # fmt: skip
    def test_a_hostile_version_stops_nothing(self, more):
        host, log = Registry(), Log(pull_mlflow.pull)
        host.versions.append(version("bad", "9", days=1) | more)
        with host.serving() as base:
            log.run(base)
        assert "mlflow:judge:version:1" in log.stored

    def test_a_server_without_a_registry_is_said(self):
        with gitlab().serving() as base, pytest.raises(SourceError, match="no such project"):
            Log(pull_mlflow.pull).run(base)


class TestWebhooksAgree:
    """The event and the pull of the same thing have one id, so it counts once."""

    def test_github(self):
        host, log = github(), Log(pull_github.pull)
        with host.serving() as base:
            log.run(base)
        repository = {"full_name": "shop/assistant", "default_branch": "main", "pushed_at": int(NOW.timestamp())}
        lists = host.lists
        release = {
            "action": "published",
            "repository": repository,
            "release": lists["/repos/shop/assistant/releases"][1],
        }
        status = {
            "repository": repository, "deployment": lists["/repos/shop/assistant/deployments"][1],
            "deployment_status": lists["/repos/shop/assistant/deployments/83/statuses"][1],
        }  # fmt: skip
        push = {
            "ref": "refs/heads/main", "after": sha(912), "repository": repository, "sender": {"login": "bob"},
            "head_commit": {"id": sha(912), "message": "Merge pull request #12", "timestamp": ago(hours=3)},
            "commits": [{"id": sha(612), "added": [], "modified": ["prompts/refund.md"], "removed": ["docs/a.md"]}],
        }  # fmt: skip
        for event, body in (("release", release), ("deployment_status", status)):
            (record,) = github_event(event, body, OPTIONS)
            assert record == log[record.id]
        (record,) = github_event("push", push, OPTIONS)
        assert record.id in log.stored
        for other in ({"ref": "refs/heads/topic"}, {"deleted": True}, {"ref": "refs/tags/v1"}):
            assert github_event("push", push | other, OPTIONS) == []
        asked = {"action": "closed", "repository": repository, "pull_request": {
            **lists["/repos/shop/assistant/pulls"][0], "merged": True,
        }}  # fmt: skip
        assert github_event("pull_request", asked, OPTIONS) == []  # its files are not told
        (record,) = github_event("pull_request", asked, read_options({"paths": "** → prompt"}))
        assert record.id in log.stored

    def test_gitlab(self):
        log = Log(pull_gitlab.pull)
        with gitlab().serving() as base:
            log.run(base)
        project = {"path_with_namespace": "shop/assistant", "default_branch": "main"}
        at = (NOW - timedelta(hours=4)).strftime("%Y-%m-%d %H:%M:%S +0000")
        deployment = {
            "object_kind": "deployment", "status": "success", "status_changed_at": at, "deployment_id": 42,
            "deployable_url": "https://git.example.org/shop/-/jobs/9", "environment": "production", "project": project,
            "short_sha": sha(5)[:8], "user": {"username": "ann"}, "ref": "main",
            "commit_url": f"https://git.example.org/shop/assistant/-/commit/{sha(5)}",
        }  # fmt: skip
        (record,) = gitlab_event(deployment, OPTIONS)
        assert record == log[record.id]
        assert gitlab_event(deployment | {"status": "running"}, OPTIONS) == []
        released = (NOW - timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S UTC")
        release = {
            "object_kind": "release", "action": "create", "tag": "v8", "released_at": released, "project": project,
            "url": "https://git.example.org/shop/assistant/-/releases/v8",
        }  # fmt: skip
        (record,) = gitlab_event(release, OPTIONS)
        assert (record.id, record.at) == ("gitlab:release:shop/assistant:v8", log[record.id].at)
        push = {
            "object_kind": "push", "ref": "refs/heads/main", "after": sha(44), "project": project,
            "user_username": "bob", "total_commits_count": 1,
            "commits": [
                {"id": sha(44), "message": "Warmer tone", "timestamp": ago(hours=2), "removed": ["prompts/tone.md"]},
            ],
        }  # fmt: skip
        (record,) = gitlab_event(push, OPTIONS)
        assert record.id in log.stored
        assert gitlab_event(push | {"commits": []}, OPTIONS) == []
        merge = {
            "object_kind": "merge_request", "project": project, "user": {"username": "bob"},
            "object_attributes": {
                "action": "merge", "iid": 4, "title": "Warmer tone", "target_branch": "main", "merge_commit_sha": None,
                "squash_commit_sha": sha(44), "updated_at": "2026-11-02 12:55:12 UTC", "url": "https://git.example.org/4",
            },
        }  # fmt: skip
        assert gitlab_event(merge, OPTIONS) == []
        (record,) = gitlab_event(merge, read_options({"paths": "** → prompt"}))
        assert record.id in log.stored

    @pytest.mark.parametrize("body", [
        {}, {"object_kind": "push"}, {"object_kind": ["push"], "project": 7}, {"object_kind": "merge_request"},
        {"object_kind": "release", "action": "create"},
        {"object_kind": "deployment", "status": "success", "project": []},
        {"object_kind": "push", "ref": "refs/heads/", "project": {}, "commits": {"a": 1}},
        {"object_kind": "push", "ref": "refs/heads/", "project": {}, "commits": [{"added": [1, "prompts/\ud800"]}]},
    ])  # fmt: skip
    def test_hostile_events_tell_nothing_or_are_refused_with_a_sentence(self, body):
        release, deployed = {**body, "action": "published"}, {**body, "deployment_status": {"state": "success"}}
        for read, event in (
            (gitlab_event, (body,)), (github_event, ("push", body)), (github_event, ("release", release)),
            (github_event, ("deployment_status", deployed)), (github_event, ("pull_request", body)),
        ):  # fmt: skip
            try:
                assert read(*event, OPTIONS) == []
            except UserError as error:
                assert str(error)


def test_entries_keep_their_own_bytes():
    body = ' [{"a": 1.0, "b":"ü"} , 7, {"c":\n[]}]'.encode()
    assert [entry.raw for entry in entries_of(body)] == ['{"a": 1.0, "b":"ü"}'.encode(), b'{"c":\n[]}']
    assert entries_of(b"[]") == []
