"""The demo's pages."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import path
from django.views.generic import RedirectView

from . import views

urlpatterns = [
    path("", views.DistributionList.as_view(), name="distributions"),
    path(
        "distributions/<slug:slug>/<str:version>/",
        views.DistributionDetail.as_view(),
        name="distribution",
    ),
    path("tree/", views.tree, name="tree"),
    path("report/", views.report, name="report"),
    path("admin/", admin.site.urls),
    # Browsers ask for it on pages that name no icon, as the admin's.
    path("favicon.ico", RedirectView.as_view(url=static("tracking/icon.svg"))),
]
