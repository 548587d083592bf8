"""The Django application: its commands, its template, and what it does after ``migrate``."""

from __future__ import annotations

import logging
from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from backendkit.stores import OperationalError

_log = logging.getLogger("backendkit.immudb")


class ImmudbConfig(AppConfig):
    """``"backendkit.backends.immudb"`` in ``INSTALLED_APPS``."""

    name = "backendkit.backends.immudb"
    label = "immudb"

    def ready(self) -> None:
        """Connect to Django's signal."""
        post_migrate.connect(follow_tables, sender=self)


def follow_tables(using: str, **kwargs: Any) -> None:
    """
    Prove the changes that migrations have made to tables whose rows were verified.

    Otherwise the next verified read would, in a request.

    :param using: the alias of the database.
    :raises TamperedError: they aren't proven.
    """
    wrapper = connections[using]
    if getattr(wrapper, "store_vendor", "") != "immudb":
        return
    from .ledger.proofs import wrapped  # noqa: PLC0415  # gRPC is loaded when it is used
    from .ledger.rows import store_of, wrapper_of  # noqa: PLC0415  # as above

    with wrapped(wrapper), store_of(wrapper_of(using)).other() as connection:
        try:
            connection.follow_tables()
        except OperationalError as error:
            # Whoever migrates may be another user than the one who verifies.
            _log.warning(
                "The tables' new definitions weren't verified after the migration; the"
                " next verified reads will do it: %s",
                error,
            )
