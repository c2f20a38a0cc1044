from django.apps import AppConfig


class ChangesConfig(AppConfig):
    name = "postmortem.changes"
    label = "changes"
