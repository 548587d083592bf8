"""What every page of the demo says of itself."""

from django.db import connection


def store(request):
    """Name the database that the page was read from."""
    return {"store": getattr(connection, "display_name", connection.vendor)}
