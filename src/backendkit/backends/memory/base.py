"""``ENGINE = "backendkit.backends.memory"``: a database in this process's memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from threading import TIMEOUT_MAX
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError

from backendkit.nonrel.base import NonrelDatabaseWrapper
from backendkit.nonrel.creation import NonrelDatabaseCreation

from .store import MemoryStore


class DatabaseCreation(NonrelDatabaseCreation):
    """Test databases are stores of another name."""

    def database_exists(self, name: str) -> bool:
        """Whether there is a store of this name."""
        return MemoryStore.exists(name)

    def destroy_database(self, name: str) -> None:
        """Forget the store of this name."""
        MemoryStore.drop(name)

    def clone_database(self, source: str, target: str) -> None:
        """Copy a store; that shares its rows."""
        MemoryStore.clone(source, target)

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        """
        Return the settings of a worker's copy of the test database.

        :raises NotSupportedError: workers don't get a copy of this process's memory.
        """
        method = multiprocessing.get_start_method()
        if method != "fork":
            msg = (
                f"Cloning with start method {method!r} is not supported. Only forked"
                " workers get a copy of this process's memory, which contains the"
                " database. Run the tests with --parallel 1."
            )
            raise NotSupportedError(msg)
        return super().get_test_db_clone_settings(suffix)


class DatabaseWrapper(NonrelDatabaseWrapper):
    """All connections of the process with one NAME share one database."""

    display_name = "Memory"
    store_class = MemoryStore
    store_vendor = "memory"
    store_options = frozenset({"timeout"})
    creation_class = DatabaseCreation

    def open_store(self, name: str, options: Mapping[str, Any]) -> MemoryStore:
        """Return the store of this name, new if there is none."""
        timeout = options.get("timeout", 5.0)
        if type(timeout) not in (int, float) or not 0 <= timeout <= TIMEOUT_MAX:
            msg = (
                f"settings.DATABASES[{self.alias!r}]['OPTIONS']['timeout'] has to be a"
                f" number of seconds, 0 or more, not {timeout!r}"
            )
            raise ImproperlyConfigured(msg)
        return MemoryStore.open(name, timeout)
