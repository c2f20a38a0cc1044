from django.apps import AppConfig


class ReportConfig(AppConfig):
    name = "postmortem.report"
    label = "report"
