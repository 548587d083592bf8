"""Django's classes around a connection, without what writes."""

from __future__ import annotations

import functools
import inspect
import os
from typing import TYPE_CHECKING, Any

from django.db.backends.base.features import BaseDatabaseFeatures
from django.db.models.sql import compiler

from .errors import ReadOnlyError

if TYPE_CHECKING:
    from .base import ReadOnlyDatabaseWrapper


@functools.cache
def combined(mixin: type, base: Any) -> Any:
    """Return the subclass of a backend's class that a mixin makes of it."""
    return type(base.__name__, (mixin, base), {"__module__": mixin.__module__})


class ReadingCompiler:
    """A compiler of queries; none that lock rows in order to change them."""

    connection: ReadOnlyDatabaseWrapper
    query: Any

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        """
        Return the statement and its parameters.

        :raises ReadOnlyError: the query is one of select_for_update().
        """
        if self.query.select_for_update:
            raise ReadOnlyError(
                self.connection.alias,
                f"select_for_update() of {self.query.get_meta().label}",
            )
        return super().as_sql(*args, **kwargs)  # type: ignore[misc]  # a mixin


class WritingCompiler:
    """A compiler of statements that write, which are never run."""

    connection: ReadOnlyDatabaseWrapper
    query: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse. :raises ReadOnlyError: always."""
        verb = next(verb for kind, verb in _VERBS.items() if isinstance(self, kind))
        raise ReadOnlyError(
            self.connection.alias, f"{verb} {self.query.get_meta().label}"
        )


_VERBS = {
    compiler.SQLInsertCompiler: "to insert",
    compiler.SQLUpdateCompiler: "to update",
    compiler.SQLDeleteCompiler: "to delete",
}


class ReadOnlyOperations:
    """Hands out compilers that don't write."""

    connection: ReadOnlyDatabaseWrapper

    def compiler(self, compiler_name: str) -> Any:
        """Return the backend's compiler of this name, for reading only."""
        found = super().compiler(compiler_name)  # type: ignore[misc]  # a mixin
        writes = issubclass(found, tuple(_VERBS))
        return combined(WritingCompiler if writes else ReadingCompiler, found)

    def execute_sql_flush(self, sql_list: list[str]) -> None:
        """Refuse to empty tables. :raises ReadOnlyError: always."""
        raise ReadOnlyError(self.connection.alias, "to empty its tables (flush)")


class ReadOnlyFeatures:
    """Says that no rows are locked."""

    connection: ReadOnlyDatabaseWrapper

    has_select_for_update = False
    has_select_for_update_nowait = False
    has_select_for_update_skip_locked = False
    has_select_for_update_of = False
    has_select_for_no_key_update = False

    @functools.cached_property
    def supports_transactions(self) -> bool:
        """Whether there are transactions: Django would find out by making a table."""
        name = "supports_transactions"
        backends = super()
        probe = inspect.getattr_static(BaseDatabaseFeatures, name)
        for kind in type(self).__mro__[2:]:
            if name in vars(kind):
                return vars(kind)[name] is probe or bool(getattr(backends, name))
        return True


class ReadOnlyCreation:
    """Makes and removes no test databases."""

    connection: ReadOnlyDatabaseWrapper

    def create_test_db(self, *args: Any, **kwargs: Any) -> str:
        """Refuse. :raises ReadOnlyError: always."""
        raise self._refused("to create a test database")

    def clone_test_db(self, *args: Any, **kwargs: Any) -> None:
        """Refuse. :raises ReadOnlyError: always."""
        raise self._refused("to clone a test database")

    def destroy_test_db(self, *args: Any, **kwargs: Any) -> None:
        """Refuse. :raises ReadOnlyError: always."""
        raise self._refused("to destroy a test database")

    def _refused(self, what: str) -> ReadOnlyError:
        hint = 'for tests, set TEST = {"MIRROR": "default"} in its settings'
        return ReadOnlyError(self.connection.alias, f"{what} ({hint})")


class ReadOnlyClient:
    """Starts a shell whose session begins as a read-only one."""

    connection: ReadOnlyDatabaseWrapper
    executable_name: str

    def runshell(self, parameters: list[str]) -> None:
        """
        Run the shell.

        :raises ReadOnlyError: it isn't known how to tell this one not to write.
        """
        program = self.executable_name
        if program not in _SHELLS and not hasattr(self.connection, "refuse_writes"):
            raise ReadOnlyError(
                self.connection.alias, f"dbshell, because {program} may write"
            )
        super().runshell(parameters)  # type: ignore[misc]  # a mixin

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: list[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """Return the shell's command line and environment."""
        args, env = super().settings_to_cmd_args_env(settings_dict, parameters)  # type: ignore[misc]  # a mixin
        program = args[0]
        if program == "psql":
            present = os.environ.get("PGOPTIONS", "")
            option = f"{present} -c default_transaction_read_only=on".strip()
            return args, {**(env or {}), "PGOPTIONS": option}
        if program == "mysql":
            command = "--init-command=SET SESSION TRANSACTION READ ONLY"
            # --defaults-file has to be the first one.
            place = 2 if args[1:] and args[1].startswith("--defaults-file") else 1
            return [*args[:place], command, *args[place:]], env
        if program == "sqlite3":
            return [program, "-readonly", *args[1:]], env
        return args, env


_SHELLS = frozenset({"mysql", "psql", "sqlite3"})
