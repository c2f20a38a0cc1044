from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "postmortem.api"
    label = "api"
