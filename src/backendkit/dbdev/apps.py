"""The app, for ``INSTALLED_APPS``."""

from types import ModuleType

from django.apps import AppConfig


class DbdevConfig(AppConfig):
    """Has commands and templates, no models."""

    name = "backendkit.dbdev"
    label = "backendkit_dbdev"
    verbose_name = "Development databases"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        # The project's models can't be imported when the driver of the default database
        # is missing. Apps are made before that: a command of ours can still say so.
        from backendkit.dbdev import early  # noqa: PLC0415  # settings are there now

        early.answer()
