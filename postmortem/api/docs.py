"""The OpenAPI schema and its browsable page."""

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated


class SchemaView(SpectacularAPIView):
    """The schema, for whoever is signed in."""

    permission_classes = (IsAuthenticated,)


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI under the site's strict policy: the script is a request of its own, no inline style."""

    permission_classes = (IsAuthenticated,)
    template_name = "api/docs.html"
    url_name = "api-schema"
