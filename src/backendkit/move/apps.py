"""The app, for ``INSTALLED_APPS``."""

from django.apps import AppConfig


class MoveConfig(AppConfig):
    """Has a command, no models: its table exists only while rows are moved."""

    name = "backendkit.move"
    label = "backendkit_move"
    verbose_name = "Moving data"
