from django.apps import AppConfig


class ActionsConfig(AppConfig):
    name = "postmortem.actions"
    label = "actions"
