from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "postmortem.accounts"
    label = "accounts"
