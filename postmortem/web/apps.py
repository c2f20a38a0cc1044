from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "postmortem.web"
    label = "web"
