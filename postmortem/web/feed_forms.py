"""Forms of change feeds: those that send, and those that are pulled."""

from typing import Any

from django import forms

from postmortem.changes.feed_options import paths_as_text, read_options
from postmortem.changes.models import ChangeFeed
from postmortem.changes.pulled_feeds import DEFAULT_ADDRESS, LONGEST_LOOKBACK_DAYS, OPTIONS_OF, has_token
from postmortem.incidents.models import Feature
from postmortem.lib.errors import UserError
from postmortem.traces.models import Connection

_PLAIN = {"autocomplete": "off", "spellcheck": "false"}
_TOKEN_HELP = {
    ChangeFeed.Kind.PULL_GITHUB: (
        "A fine-grained token with read access to contents, deployments and pull requests of this repository. "
        "Public repositories work without, but GitHub then allows 60 reads an hour."
    ),
    ChangeFeed.Kind.PULL_GITLAB: "A project access token with the scope read_api and the role Reporter.",
    ChangeFeed.Kind.PULL_MLFLOW: "A password or token, if your server wants one.",
}
_INTERVALS = [(5, "5 minutes"), (15, "15 minutes"), (30, "30 minutes"), (60, "hour"), (360, "6 hours"), (1440, "day")]


def _feature() -> forms.ModelChoiceField:
    return forms.ModelChoiceField(
        queryset=Feature.objects.all(),
        label="AI feature",
        empty_label="choose",
        error_messages={"required": "Choose the feature whose logs it writes to."},
    )


class _Paths(forms.CharField):
    """Path rules, one a line; the cleaned value stays text, which the service reads."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            max_length=12_000,
            label="Paths that matter",
            widget=forms.Textarea(
                attrs={"rows": 4, "placeholder": "prompts/** → prompt\nretrieval/*.yaml → retrieval"}
            ),
            help_text=(
                "GitHub and GitLab: merges that touch these files become changes of that layer, one rule a line, "
                "the first that fits decides. Empty: releases and deployments only."
            ),
        )

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        try:
            read_options({"paths": text})
        except UserError as error:
            raise forms.ValidationError(str(error)) from error
        return text


def _environments() -> forms.CharField:
    return forms.CharField(
        required=False,
        max_length=4000,
        label="Environments",
        widget=forms.TextInput(attrs={**_PLAIN, "placeholder": "production, production-eu"}),
        help_text="GitHub and GitLab: deployments to these only. Empty: all, previews included.",
    )


class FeedForm(forms.Form):
    """A new feed that sends."""

    feature = _feature()
    name = forms.CharField(max_length=120, help_text="Who sends, e.g. Deployments of the assistant.")
    kind = forms.ChoiceField(
        choices=[choice for choice in ChangeFeed.Kind.choices if choice[0] not in ChangeFeed.PULLED],
        label="What sends",
    )
    secret = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "placeholder": "lf-whsec_…"}),
        help_text="Langfuse only: the secret that it shows when the webhook is made. The others get one from here.",
    )
    paths = _Paths()
    environments = _environments()

    def options(self) -> dict[str, Any]:
        """What the service takes as options."""
        return {name: self.cleaned_data[name] for name in ("paths", "environments")}


class FeedSettingsForm(forms.Form):
    """A feed that is pulled, new or stored; or what can be changed of one that sends. Fields go by the kind."""

    feature = _feature()
    name = forms.CharField(max_length=120, help_text="What people call it, e.g. The assistant's repository.")
    base_url = forms.CharField(
        label="Address",
        max_length=400,
        widget=forms.TextInput(attrs={**_PLAIN, "inputmode": "url"}),
        error_messages={"required": "Give the address of the server."},
    )
    connection = forms.ModelChoiceField(
        queryset=Connection.objects.filter(kind=Connection.Kind.LANGFUSE),
        empty_label="choose",
        error_messages={"required": "Choose the connection to the Langfuse project."},
        help_text="Its project's prompts are pulled, with its keys.",
    )
    project = forms.CharField(
        max_length=400, widget=forms.TextInput(attrs=_PLAIN), error_messages={"required": "Name what is read."}
    )
    user = forms.CharField(
        required=False, max_length=200, label="User name", widget=forms.TextInput(attrs=_PLAIN),
        help_text="If your server wants a name with the password.",
    )  # fmt: skip
    token = forms.CharField(
        required=False,
        max_length=400,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    forget_token = forms.BooleanField(required=False, label="Forget the stored token: read without one")
    paths = _Paths()
    environments = _environments()
    branch = forms.CharField(
        required=False, max_length=200, widget=forms.TextInput(attrs=_PLAIN),
        help_text="Merges to this branch count. Empty: the default branch.",
    )  # fmt: skip
    models = forms.CharField(
        required=False, max_length=8000, widget=forms.TextInput(attrs=_PLAIN), label="Registered models",
        help_text="Names, with commas between them. Empty: every model of the registry.",
    )  # fmt: skip
    facet = forms.CharField(
        required=False, max_length=80, widget=forms.TextInput(attrs={**_PLAIN, "placeholder": "model_version"}),
        label="Version facet",
        help_text="Where traces record the registry's version number, if they do. Empty: the time decides.",
    )  # fmt: skip
    interval_minutes = forms.TypedChoiceField(choices=_INTERVALS, coerce=int, label="Pull every", initial=30)
    lookback_days = forms.IntegerField(
        min_value=1, max_value=LONGEST_LOOKBACK_DAYS, initial=30, label="First pull reads back, days",
        help_text="Changes older than that are not looked for.",
    )  # fmt: skip

    def __init__(self, *args: Any, kind: str, stored: ChangeFeed | None = None, **kwargs: Any) -> None:
        if stored:
            kwargs["initial"] = _initial(stored)
        super().__init__(*args, **kwargs)
        self._kind = kind
        pulled, langfuse = kind in ChangeFeed.PULLED, kind == ChangeFeed.Kind.PULL_LANGFUSE
        wanted = {"name", *OPTIONS_OF[kind]} | ({"interval_minutes", "lookback_days"} if pulled else set())
        if pulled:
            wanted |= {"connection"} if langfuse else {"base_url", "token"}
        if not stored:
            wanted.add("feature")
        elif "token" in wanted and has_token(stored):
            wanted.add("forget_token")
        for name in set(self.fields) - wanted:
            del self.fields[name]
        if "base_url" in self.fields:
            self.fields["base_url"].initial = DEFAULT_ADDRESS.get(ChangeFeed.Kind(kind), "")
            self.fields["base_url"].help_text = {
                ChangeFeed.Kind.PULL_GITHUB: "GitHub Enterprise Server: https://your-host/api/v3.",
                ChangeFeed.Kind.PULL_GITLAB: "Of your GitLab, without /api/v4.",
            }.get(ChangeFeed.Kind(kind), "Everything before /#/ in the address of its pages.")
            self.fields["token"].help_text = _TOKEN_HELP[ChangeFeed.Kind(kind)] + (
                " Leave it empty to keep the stored one."
                if stored
                else " Stored encrypted; nobody reads it here again."
            )
        for name in ("paths", "environments"):  # the form that adds a webhook serves every kind
            if name in self.fields:
                help_text = str(self.fields[name].help_text).removeprefix("GitHub and GitLab: ")
                self.fields[name].help_text = help_text[:1].upper() + help_text[1:]
        if "project" in self.fields:
            github = kind == ChangeFeed.Kind.PULL_GITHUB
            self.fields["project"].label = "Repository" if github else "Project"
            self.fields["project"].help_text = "owner/name" if github else "group/project, or its number"
        if stored and pulled and stored.interval_minutes not in dict(_INTERVALS):
            own = (stored.interval_minutes, f"{stored.interval_minutes} minutes")
            self.fields["interval_minutes"].choices = sorted([*_INTERVALS, own])

    def arguments(self) -> dict[str, Any]:
        """What the service takes."""
        given = dict(self.cleaned_data)
        options = {name: given.pop(name) for name in OPTIONS_OF[self._kind]}
        return {**given, "options": options}


def _initial(feed: ChangeFeed) -> dict[str, Any]:
    options = read_options(feed.options)
    return {
        "name": feed.name, "base_url": feed.base_url, "connection": feed.connection_id,
        "interval_minutes": feed.interval_minutes, "lookback_days": feed.lookback_days,
        "project": options.project, "branch": options.branch, "user": options.user, "facet": options.facet,
        "paths": paths_as_text(options.paths), "environments": ", ".join(options.environments),
        "models": ", ".join(options.models),
    }  # fmt: skip
