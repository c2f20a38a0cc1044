from django.apps import AppConfig


class InsightsConfig(AppConfig):
    name = "postmortem.insights"
    label = "insights"
