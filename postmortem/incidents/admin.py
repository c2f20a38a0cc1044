"""Administration of AI features: which team owns one, and where its traces are."""

from django.contrib import admin

from postmortem.incidents.models import Feature


@admin.register(Feature)
class FeatureAdmin(admin.ModelAdmin):
    """The feature's team decides who sees team-only incidents."""

    list_display = ("name", "team", "trace_name", "environment")
    list_select_related = ("team",)
    search_fields = ("name",)
