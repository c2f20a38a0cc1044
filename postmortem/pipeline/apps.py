from django.apps import AppConfig


class PipelineConfig(AppConfig):
    name = "postmortem.pipeline"
    label = "pipeline"
