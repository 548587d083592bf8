"""``DatabaseCreation``: the types of columns, and databases for tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from backendkit.nonrel import creation

from .described import Field

#: The option that is put before all names of tables.
TABLE_PREFIX = "table_prefix"


class NonrelDatabaseCreation(creation.NonrelDatabaseCreation):
    """
    Maps Django's fields to types of the store, by ``data_types``.

    These types are what ``convert_value_for_db()`` and ``convert_value_from_db()`` get.
    What a subclass leaves out of its ``data_types`` is taken from here.

    A test database is kept in the same store: its tables have other names, which begin
    with that of the test database.
    """

    data_types: ClassVar[Mapping[str, str]] = {
        # Primary keys that are numbered, and what refers to them.
        "AutoField": "key",
        "ForeignKey": "key",
        "BigIntegerField": "long",
        "BinaryField": "bytes",
        "BooleanField": "bool",
        "CharField": "string",
        "DateField": "date",
        "DateTimeField": "datetime",
        "DecimalField": "decimal",
        "DurationField": "duration",
        "FloatField": "float",
        "GenericIPAddressField": "string",
        "IntegerField": "integer",
        "JSONField": "json",
        "PositiveBigIntegerField": "long",
        "PositiveIntegerField": "integer",
        "PositiveSmallIntegerField": "integer",
        "SmallIntegerField": "integer",
        "TextField": "string",
        "TimeField": "time",
        "UUIDField": "uuid",
    }

    _outside: Mapping[str, Any] | None = None  # OPTIONS before a test database was made

    def db_type(self, field: Field) -> str:
        """Return the type of a column in the store."""
        name, own = field.get_internal_type(), self.data_types
        if name == "ForeignKey" and name not in own and "AutoField" in own:
            name = "AutoField"
        found = own.get(name) or NonrelDatabaseCreation.data_types.get(name, "string")
        return found % vars(field) if "%(" in found else found

    # Test databases

    def database_exists(self, name: str) -> bool:
        """Whether there are tables of this test database."""
        with self._tables(name) as tables:
            return tables.exist()

    def destroy_database(self, name: str) -> None:
        """Delete the tables of a test database."""
        with self._tables(name) as tables:
            tables.destroy()

    def clone_database(self, source: str, target: str) -> None:
        """Copy the tables of a test database."""
        with self._tables(source) as origin, self._tables(target) as copy:
            copy.copy(origin)

    @contextmanager
    def _tables(self, name: str) -> Iterator[Any]:
        with self.connection.wrap_database_errors:
            yield self.connection.tables(_prefix(name))

    def _create_test_db(
        self, verbosity: int, autoclobber: bool, keepdb: bool = False
    ) -> str:
        settings = self.connection.settings_dict
        name = super()._create_test_db(verbosity, autoclobber, keepdb)
        self._outside = settings["OPTIONS"]
        # The dict is shared by the connections of all threads.
        settings["OPTIONS"] = {**settings["OPTIONS"], TABLE_PREFIX: _prefix(name)}
        return name

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        """Return the settings of a worker's copy of the test database."""
        settings = super().get_test_db_clone_settings(suffix)
        prefix = _prefix(settings["NAME"])
        return {**settings, "OPTIONS": {**settings["OPTIONS"], TABLE_PREFIX: prefix}}

    def destroy_test_db(
        self, old_database_name: str | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Destroy a test database, and go back to the tables outside of it."""
        super().destroy_test_db(old_database_name, *args, **kwargs)
        if old_database_name is not None and self._outside is not None:
            self.connection.settings_dict["OPTIONS"] = self._outside
            self._outside = None

    def test_db_signature(self) -> tuple[str, ...]:
        """Return what tells two databases apart: their servers, too."""
        settings = self.connection.settings_dict
        server = (str(settings["HOST"]), str(settings["PORT"]))
        return (*server, *super().test_db_signature())


def _prefix(name: str) -> str:
    return f"{name}."
