from django.apps import AppConfig


class ReviewConfig(AppConfig):
    name = "postmortem.review"
    label = "review"
