"""What people write in the review, rule by rule."""

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from postmortem.accounts.models import AuditEntry, Role
from postmortem.incidents.models import Incident
from postmortem.lib.errors import EditConflict, UserError
from postmortem.review import services
from postmortem.review.models import ChecklistAnswer, ContributingFactor, Evidence, Verdict
from tests.builders import make_change, make_feature, make_incident, make_person
from tests.review.builders import finding_result, make_finding, make_lead, make_traces

pytestmark = pytest.mark.django_db
ASKED = "retrieval-encoder-agrees"


@pytest.fixture
def incident():
    return make_incident()


@pytest.fixture
def reviewer(incident):
    return make_person("Priya Nair")


@pytest.fixture
def lead(incident):
    return make_lead(incident, make_person("Tomasz Wilk"), "retrieval")


def last_entry():
    return AuditEntry.objects.first()


def add_piece(incident, by, **fields):
    return services.add_evidence(
        **({"incident": incident, "by": by, "layer": "retrieval", "direction": "for", "text": "Ids differ"} | fields)
    )


class TestAnswers:
    def test_answer_is_stored_with_who_version_and_history(self, incident, reviewer):
        answer = services.answer_question(
            incident=incident, by=reviewer, question_id=ASKED, value="no", note=" Rollout \x00went by service "
        )
        assert (answer.layer, answer.value, answer.note, answer.checklist_version) == (
            "retrieval", "no", "Rollout went by service", "2026-2",
        )  # fmt: skip
        assert answer.answered_by == reviewer
        entry = last_entry()
        assert (entry.action, entry.before, entry.after["value"]) == ("answer.save", {}, "no")
        assert entry.incident_number == incident.number

    def test_second_reviewer_who_saw_nothing_conflicts_and_loses_nothing(self, incident, reviewer):
        services.answer_question(incident=incident, by=reviewer, question_id=ASKED, value="no", note="mine")
        other = make_person("Jun Sato")
        with pytest.raises(EditConflict, match="Priya Nair") as caught:
            services.answer_question(incident=incident, by=other, question_id=ASKED, value="yes")
        assert caught.value.current == {"value": "no", "note": "mine"} and caught.value.revision == 1
        assert ChecklistAnswer.objects.get().value == "no"

    def test_two_edits_of_one_revision_conflict(self, incident, reviewer):
        first = services.answer_question(incident=incident, by=reviewer, question_id=ASKED, value="no")
        second = services.answer_question(
            incident=incident, by=reviewer, question_id=ASKED, value="yes", revision=first.revision
        )
        assert second.revision == 2
        with pytest.raises(EditConflict):
            services.answer_question(
                incident=incident, by=reviewer, question_id=ASKED, value="cannot_tell", revision=first.revision
            )
        assert ChecklistAnswer.objects.get().value == "yes"
        assert last_entry().before["value"] == "no"

    def test_the_same_answer_twice_is_one_entry(self, incident, reviewer):
        for _ in range(2):
            services.answer_question(incident=incident, by=reviewer, question_id=ASKED, value="no")
        assert AuditEntry.objects.filter(action="answer.save").count() == 1

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"question_id": "nope"}, "no question “nope”"),
            ({"value": "perhaps"}, "yes, no or cannot tell"),
            ({"note": "x" * 4001}, "at most 4,000"),
            ({"note": 7}, "must be text"),
        ],
    )
    def test_bad_input_is_one_sentence(self, incident, reviewer, fields, sentence):
        with pytest.raises(UserError, match=sentence):
            services.answer_question(
                **{"incident": incident, "by": reviewer, "question_id": ASKED, "value": "no"} | fields
            )
        assert not ChecklistAnswer.objects.exists() and not AuditEntry.objects.exists()

    def test_viewer_may_not_and_published_is_closed(self, incident, reviewer):
        with pytest.raises(PermissionDenied):
            services.answer_question(incident=incident, by=make_person("V", Role.VIEWER), question_id=ASKED, value="no")
        Incident.objects.filter(pk=incident.pk).update(status="published")
        with pytest.raises(UserError, match="is published"):
            services.answer_question(incident=incident, by=reviewer, question_id=ASKED, value="no")


class TestEvidence:
    def test_links_to_trace_change_finding_and_question(self, incident, reviewer):
        trace = make_traces(incident, 1)[0]
        change = make_change("retrieval-1", layer="retrieval")
        make_finding(incident, number=4)
        piece = add_piece(
            incident, reviewer, trace=trace, change=change, finding_number=4, question_id=ASKED,
            link="https://example.org/notebook",
        )  # fmt: skip
        assert last_entry().after == {
            "layer": "retrieval", "direction": "for", "text": "Ids differ", "question_id": ASKED,
            "trace": trace.external_id, "change": "retrieval-1", "finding_number": 4,
            "link": "https://example.org/notebook",
        }  # fmt: skip
        services.remove_evidence(evidence=piece, by=reviewer)
        services.remove_evidence(evidence=piece, by=reviewer)
        assert not Evidence.objects.exists()
        assert last_entry().before["text"] == "Ids differ"
        assert AuditEntry.objects.filter(action="evidence.remove").count() == 1

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"text": "  "}, "evidence is missing"),
            ({"text": "x" * 2001}, "at most 2,000"),
            ({"layer": "weather"}, "not a layer"),
            ({"direction": "sideways"}, "for or against"),
            ({"question_id": "model-follows-exposure"}, "not a question of the retrieval layer"),
            ({"finding_number": 3}, "no attribution run 3"),
            ({"link": "javascript:alert(1)"}, "not a web address"),
            ({"link": "https://"}, "not a web address"),
            ({"link": "http://[bad"}, "not a web address"),
        ],
    )
    def test_bad_input_is_one_sentence(self, incident, reviewer, fields, sentence):
        with pytest.raises(UserError, match=sentence):
            add_piece(incident, reviewer, **fields)
        assert not Evidence.objects.exists()

    def test_other_incidents_trace_and_other_features_change_are_refused(self, incident, reviewer):
        other = make_incident("INC-2026-0002", feature=make_feature("Search"))
        with pytest.raises(UserError, match="another incident"):
            add_piece(incident, reviewer, trace=make_traces(other, 1)[0])
        with pytest.raises(UserError, match="not in the logs of Help Centre Assistant"):
            add_piece(incident, reviewer, change=make_change("x", feature=other.feature))

    def test_adopting_copies_the_latest_run_once(self, incident, reviewer):
        with pytest.raises(UserError, match="no attribution run yet"):
            services.adopt_proposed_evidence(incident=incident, by=reviewer, layer="retrieval")
        change = make_change("retrieval-1", layer="retrieval")
        make_finding(incident)
        added = services.adopt_proposed_evidence(incident=incident, by=reviewer, layer="retrieval")
        assert [(piece.direction, piece.change, piece.finding_number) for piece in added] == [("for", change, 1)]
        assert services.adopt_proposed_evidence(incident=incident, by=reviewer, layer="retrieval") == []
        make_finding(incident, number=2)
        assert services.adopt_proposed_evidence(incident=incident, by=reviewer, layer="retrieval") == []
        assert Evidence.objects.count() == 1

    def test_adopting_survives_long_texts_and_changes_that_are_gone(self, incident, reviewer):
        row = {"layer": "model", "verdict": "open", "against": [{"text": "x" * 5000, "change": "gone"}, {"text": ""}]}
        make_finding(incident, result=finding_result(layers=[row]))
        (piece,) = services.adopt_proposed_evidence(incident=incident, by=reviewer, layer="model")
        assert len(piece.text) == 2000 and piece.change is None


class TestVerdicts:
    def test_lead_decides_on_evidence_and_the_proposal_is_kept(self, incident, lead):
        with pytest.raises(UserError, match="at least one piece of evidence"):
            services.decide_verdict(incident=incident, by=lead, layer="retrieval", value="in", reason="Ids differ.")
        add_piece(incident, lead)
        make_finding(incident)
        verdict = services.decide_verdict(
            incident=incident, by=lead, layer="retrieval", value="out", reason="Replay shows none."
        )
        assert (verdict.value, verdict.proposed, verdict.decided_by) == ("out", "in", lead)
        assert last_entry().action == "verdict.decide"

    def test_only_the_lead_or_a_facilitator_decides(self, incident, lead, reviewer):
        add_piece(incident, lead, layer="model")
        add_piece(incident, lead)
        for person, layer in ((reviewer, "retrieval"), (lead, "model")):
            with pytest.raises(PermissionDenied, match="verdict"):
                services.decide_verdict(incident=incident, by=person, layer=layer, value="in", reason="So.")
        services.decide_verdict(incident=incident, by=incident.created_by, layer="model", value="out", reason="So.")

    def test_deciding_again_needs_the_revision_that_was_seen(self, incident, lead):
        add_piece(incident, lead)
        fields = {"incident": incident, "by": lead, "layer": "retrieval"}
        first = services.decide_verdict(**fields, value="in", reason="One.")
        with pytest.raises(EditConflict, match="IN") as caught:
            services.decide_verdict(**fields, value="out", reason="Two.")
        assert caught.value.current == {"value": "in", "reason": "One."}
        again = services.decide_verdict(**fields, value="out", reason="Two.", revision=first.revision)
        assert (again.value, again.revision) == ("out", 2)
        assert Verdict.objects.count() == 1

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [({"value": "maybe"}, "IN, OUT or INSUFFICIENT"), ({"reason": " "}, "reason for the verdict is missing")],
    )
    def test_bad_input_is_one_sentence(self, incident, lead, fields, sentence):
        add_piece(incident, lead)
        with pytest.raises(UserError, match=sentence):
            services.decide_verdict(
                **{"incident": incident, "by": lead, "layer": "retrieval", "value": "in", "reason": "So."} | fields
            )


class TestFactors:
    def add(self, incident, by, text="Re-embed job set to manual", **fields):
        return services.add_factor(
            **({"incident": incident, "by": by, "kind": "trigger", "layer": "retrieval", "text": text} | fields)
        )

    def test_first_factor_brings_the_impact(self, incident, reviewer):
        factor = self.add(incident, reviewer)
        self.add(incident, reviewer, "Answer cache keeps 48 h", kind="amplifier", layer="infrastructure")
        impact = incident.factors.get(kind="impact")
        assert (impact.text, impact.layer) == (incident.title, "")
        assert incident.factors.count() == 3 and factor.kind == "trigger"

    def test_there_is_one_impact_and_the_database_knows(self, incident, reviewer):
        impact = self.add(incident, reviewer, "1,122 ungrounded answers", kind="impact", layer="")
        with pytest.raises(UserError, match="has its impact already"):
            self.add(incident, reviewer, "Another", kind="impact", layer="")
        with pytest.raises(IntegrityError), transaction.atomic():
            ContributingFactor.objects.create(incident=incident, kind="impact", text="x", added_by=reviewer)
        cause = self.add(incident, reviewer, leads_to=impact)
        assert incident.causal_edges.get().cause == cause

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"text": ""}, "factor is missing"),
            ({"text": "x" * 301}, "at most 300"),
            ({"kind": "human_error"}, "not a kind of factor"),
            ({"layer": ""}, "not a layer"),
        ],
    )
    def test_bad_input_leaves_nothing_behind(self, incident, reviewer, fields, sentence):
        with pytest.raises(UserError, match=sentence):
            self.add(incident, reviewer, **fields)
        assert not incident.factors.exists()

    def test_circles_are_refused_with_both_names(self, incident, reviewer):
        a, b, c = (self.add(incident, reviewer, name) for name in ("A", "B", "C"))
        services.connect(cause=a, effect=b, by=reviewer)
        services.connect(cause=b, effect=c, by=reviewer)
        with pytest.raises(UserError, match="“A” already leads to “C”, so this would close a circle"):
            services.connect(cause=c, effect=a, by=reviewer)
        with pytest.raises(UserError, match="close a circle"):
            services.connect(cause=a, effect=a, by=reviewer)
        assert incident.causal_edges.count() == 2

    def test_connecting_twice_keeps_one_arrow_and_the_newer_claim(self, incident, reviewer):
        a, b = (self.add(incident, reviewer, name) for name in ("A", "B"))
        services.connect(cause=a, effect=b, by=reviewer, claim="old")
        services.connect(cause=a, effect=b, by=reviewer)
        edge = services.connect(cause=a, effect=b, by=reviewer, claim="new")
        assert incident.causal_edges.get().claim == edge.claim == "new"
        services.disconnect(edge=edge, by=reviewer)
        services.disconnect(edge=edge, by=reviewer)
        assert not incident.causal_edges.exists() and last_entry().action == "edge.remove"

    def test_arrows_end_in_the_impact_and_stay_in_one_incident(self, incident, reviewer):
        factor = self.add(incident, reviewer)
        impact = incident.factors.get(kind="impact")
        with pytest.raises(UserError, match="where the graph ends"):
            services.connect(cause=impact, effect=factor, by=reviewer)
        other = self.add(make_incident("INC-2026-0002"), reviewer)
        with pytest.raises(UserError, match="belong to this incident"):
            services.connect(cause=factor, effect=other, by=reviewer)

    def test_update_needs_the_revision_that_was_seen(self, incident, reviewer):
        factor = self.add(incident, reviewer)
        stale = ContributingFactor.objects.get(pk=factor.pk)
        services.update_factor(factor=factor, by=reviewer, text="Better words")
        with pytest.raises(EditConflict) as caught:
            services.update_factor(factor=stale, by=reviewer, text="Other words")
        assert caught.value.current["text"] == "Better words" and caught.value.revision == 2
        assert last_entry().before["text"] == "Re-embed job set to manual"
        with pytest.raises(UserError, match="cannot become the impact"):
            services.update_factor(factor=factor, by=reviewer, revision=2, kind="impact")
        with pytest.raises(UserError, match="no field"):
            services.update_factor(factor=factor, by=reviewer, revision=2, risk_accepted_by=reviewer)

    def test_removing_takes_arrows_along_and_the_impact_last(self, incident, reviewer):
        impact_of = lambda: incident.factors.get(kind="impact")  # noqa: E731
        factor = self.add(incident, reviewer)
        services.connect(cause=factor, effect=impact_of(), by=reviewer)
        with pytest.raises(UserError, match="impact stays"):
            services.remove_factor(factor=impact_of(), by=reviewer)
        services.remove_factor(factor=factor, by=reviewer)
        (edge,) = last_entry().before["edges"]
        assert (edge["cause"], edge["effect"], edge["claim"]) == (factor.text, incident.title, "")
        services.remove_factor(factor=impact_of(), by=reviewer)
        assert not incident.factors.exists()

    def test_risk_is_accepted_by_name_with_reason_and_taken_back(self, incident, reviewer, lead):
        factor = self.add(incident, reviewer)
        with pytest.raises(PermissionDenied):
            services.accept_risk(factor=factor, by=reviewer, reason="Rare.")
        with pytest.raises(UserError, match="reason for accepting"):
            services.accept_risk(factor=factor, by=lead, reason="")
        with pytest.raises(UserError, match="accept the risk of one of its causes"):
            services.accept_risk(factor=incident.factors.get(kind="impact"), by=incident.created_by, reason="x")
        accepted = services.accept_risk(factor=factor, by=lead, reason="Gone with the next index.")
        assert accepted.risk_accepted_by == lead and last_entry().after["risk_accepted_by"] == "Tomasz Wilk"
        withdrawn = services.withdraw_risk(factor=factor, by=lead)
        assert withdrawn.risk_accepted_by is None and last_entry().action == "risk.withdraw"


class TestSignOff:
    def decided(self, incident, lead):
        piece = add_piece(incident, lead)
        services.decide_verdict(incident=incident, by=lead, layer="retrieval", value="in", reason="Ids differ.")
        return piece

    def test_only_the_lead_signs_a_layer_and_only_a_verdict(self, incident, lead, reviewer):
        with pytest.raises(UserError, match="no verdict to sign yet for retrieval"):
            services.sign_off(incident=incident, by=lead, layer="retrieval")
        self.decided(incident, lead)
        for person in (reviewer, incident.created_by):
            with pytest.raises(PermissionDenied):
                services.sign_off(incident=incident, by=person, layer="retrieval")
        signed = services.sign_off(incident=incident, by=lead, layer="retrieval")
        assert signed.signed_by == lead and len(signed.content_sha256) == 64

    def test_facilitator_signs_the_whole_review_when_all_is_decided(self, incident, lead):
        self.decided(incident, lead)
        with pytest.raises(UserError, match="model, prompt, infrastructure"):
            services.sign_off(incident=incident, by=incident.created_by)
        for layer in ("model", "prompt", "infrastructure"):
            add_piece(incident, lead, layer=layer)
            services.decide_verdict(incident=incident, by=incident.created_by, layer=layer, value="out", reason="No.")
        assert services.sign_off(incident=incident, by=incident.created_by).layer == ""

    def test_what_changed_under_the_pen_is_not_signed(self, incident, lead):
        from postmortem.review.content import layer_content_hash

        self.decided(incident, lead)
        seen = layer_content_hash(incident, "retrieval")
        add_piece(incident, lead, text="One more")
        with pytest.raises(EditConflict, match="has changed since you opened it"):
            services.sign_off(incident=incident, by=lead, layer="retrieval", content_sha256=seen)
        assert not incident.sign_offs.exists()
