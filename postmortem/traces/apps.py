from django.apps import AppConfig


class TracesConfig(AppConfig):
    name = "postmortem.traces"
    label = "traces"
