"""The application."""

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """The log."""

    name = "benchmarks.immudb_million.events"
    label = "events"
