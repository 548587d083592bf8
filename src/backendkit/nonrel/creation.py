"""Test databases."""

from __future__ import annotations

import os
import sys
from typing import Any

import django
from django.db.backends.base.creation import BaseDatabaseCreation


class NonrelDatabaseCreation(BaseDatabaseCreation):
    """
    Creates, clones and destroys test databases by three methods of the backend.

    A subclass implements :meth:`database_exists`, :meth:`destroy_database` and
    :meth:`clone_database`. A database comes into being when it is opened.
    """

    def database_exists(self, name: str) -> bool:
        """Whether there is a database of this NAME."""
        raise NotImplementedError

    def destroy_database(self, name: str) -> None:
        """Delete a database with all its data. No effect if there is none."""
        raise NotImplementedError

    def clone_database(self, source: str, target: str) -> None:
        """Copy a database to a new NAME."""
        raise NotImplementedError

    # Django's hooks

    def mark_expected_failures_and_skips(self) -> None:
        """Mark what the backend's ``expectations.toml`` lists, for Django's own runner."""
        from backendkit.conformance import marks  # noqa: PLC0415  # in Django's suite only

        with marks.marking(self.connection):
            super().mark_expected_failures_and_skips()

    def setup_worker_connection(self, _worker_id: int) -> None:
        """Switch to a worker's copy of the test database."""
        super().setup_worker_connection(_worker_id)
        if django.VERSION < (6,):
            from backendkit.conformance import marks  # noqa: PLC0415  # as above

            marks.mark_in_worker(self.connection)

    def _create_test_db(
        self, verbosity: int, autoclobber: bool, keepdb: bool = False
    ) -> str:
        name = self._get_test_db_name()
        if not keepdb and self.database_exists(name):
            self._confirm(verbosity, autoclobber, name)
            self.connection.close()
            self.destroy_database(name)
        return name

    def _confirm(self, verbosity: int, autoclobber: bool, name: str) -> None:
        if verbosity >= 1:
            shown = self._get_database_display_str(verbosity, name)
            self.log(f"Destroying old test database for alias {shown}...")
        if autoclobber:
            return
        answer = input(
            "Type 'yes' if you would like to try deleting the test database"
            f" '{name}', or 'no' to cancel: "
        )
        if answer != "yes":
            self.log("Tests cancelled.")
            sys.exit(1)

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        """
        Return the settings of a worker's copy of the test database.

        As in Django's SQLite backend, ``test.db`` is copied to ``test_1.db``.
        """
        settings: dict[str, Any] = self.connection.settings_dict
        root, extension = os.path.splitext(str(settings["NAME"]))
        return {**settings, "NAME": f"{root}_{suffix}{extension}"}

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        source = str(self.connection.settings_dict["NAME"])
        target = str(self.get_test_db_clone_settings(suffix)["NAME"])
        if self.database_exists(target):
            if keepdb:
                return
            self.destroy_database(target)
        self.clone_database(source, target)

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        self.destroy_database(str(test_database_name))

    def test_db_signature(self) -> tuple[str, ...]:
        """Return what tells two databases apart."""
        settings = self.connection.settings_dict
        return (str(settings["ENGINE"]), str(self._get_test_db_name()))
