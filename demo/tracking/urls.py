"""The demo's pages."""

from django.contrib import admin
from django.urls import path

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
]
