"""Root of the addresses: pages, API, administration."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("api/", include("postmortem.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("postmortem.web.urls")),
]
