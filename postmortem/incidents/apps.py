from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "postmortem.incidents"
    label = "incidents"
