"""The same application, earlier."""

from django.apps import AppConfig


class FormerConfig(AppConfig):
    """Has the label of the later one, and its migrations."""

    name = "benchmarks.immudb_million.former"
    label = "events"
