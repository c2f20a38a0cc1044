from django.apps import AppConfig


class AttributionConfig(AppConfig):
    name = "postmortem.attribution"
    label = "attribution"
