"""The app, for ``INSTALLED_APPS``."""

from django.apps import AppConfig


class DbdevConfig(AppConfig):
    """Has commands and templates, no models."""

    name = "backendkit.dbdev"
    label = "backendkit_dbdev"
    verbose_name = "Development databases"
