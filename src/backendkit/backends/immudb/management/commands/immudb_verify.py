"""``manage.py immudb_verify``."""

from __future__ import annotations

import functools
import json
import sys
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.db import router

from backendkit.backends.immudb.management.base import ImmudbCommand
from backendkit.backends.immudb.names import physical
from backendkit.nonrel.commands import REFUSED
from backendkit.progress import Progress

if TYPE_CHECKING:
    from backendkit.backends.immudb.auditing import Audit, Compared, Difference

_FOUND = 1


class Command(ImmudbCommand):
    """
    Proves a database; others may read and write meanwhile.

    Exit status: 0 if the server answers what the proven transactions say, 1 if it
    doesn't, 2 if that can't be told.
    """

    help = (
        "Verifies an immudb database without trusting the server: proves all"
        " transactions against the state that this client has verified before, and"
        " compares the rows that the server returns with them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "models",
            nargs="*",
            metavar="app.Model",
            help=(
                "Model labels to restrict the comparison to, such as app.Model. By"
                " default, the rows of all tables are compared. All transactions are"
                " proven in any case."
            ),
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the result as JSON."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        # Before it is connected to.
        models = [self._model(label, alias) for label in options["models"]]
        with (
            self.opened(alias) as store,
            store.other() as reader,
            store.other() as prover,
        ):
            from backendkit.backends.immudb.auditing import (  # noqa: PLC0415  # gRPC is loaded when it is used
                Audit,
                History,
                Versions,
            )

            with Versions() as versions:
                audit = Audit(reader, prover, History(versions))
                done, found = self._audit(audit, models, alias, options)
                state = audit.history.state
        if options["json"]:
            self._print_json(alias, done, found, state)
        else:
            for one in found:
                self.stderr.write(str(one))
            more = sum(len(one.differences) - one.count for one in done)
            if more:
                self.stderr.write(f"{-more:,} more differences")
            if not found:
                rows = sum(one.rows for one in done)
                tx = state.tx if state else 0
                self.stdout.write(
                    f"Verified {_count(rows, 'row')} of {_count(len(done), 'table')},"
                    f" as of transaction {tx:,}"
                )
        if found:
            sys.exit(_FOUND)

    def _audit(
        self, audit: Audit, models: list[Any], alias: str, options: dict[str, Any]
    ) -> tuple[list[Compared], list[Difference]]:
        """Return the tables that were compared, and the differences."""
        from backendkit.backends.immudb.auditing import Unproven  # noqa: PLC0415  # as above

        done: list[Compared] = []
        found: list[Difference] = []
        total = audit.last() - audit.history.tx
        with self._progress("transactions", total) as shown:
            problem = audit.prove(functools.partial(shown.add, 1))
        if problem is not None:
            return [], [problem]
        names = audit.tables()
        if models:
            names = [self._table(model, names, alias) for model in models]
        try:
            for name in dict.fromkeys(names):
                with self._progress(name, unit="rows") as shown:
                    one = audit.compare(name, functools.partial(shown.add, 1))
                if one is None:
                    continue
                done.append(one)
                found += one.differences
                if not options["json"]:
                    self.stdout.write(f"{one.name}: {_count(one.rows, 'row')}")
            found += audit.compare_names()
        except Unproven as error:
            found.append(error.found)
        return done, found

    def _progress(
        self, what: str, total: int | None = None, unit: str = ""
    ) -> Progress:
        return Progress(sys.stderr, what, total, unit=unit)

    def _model(self, label: str, alias: str) -> Any:
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError) as error:
            problem = str(error.args[0]) if isinstance(error, LookupError) else ""
            raise CommandError(
                f"{label} isn't the label of a model, such as app.Model. {problem}".rstrip(),
                returncode=REFUSED,
            ) from error
        if not router.allow_migrate_model(alias, model):
            raise CommandError(
                f"{model._meta.label} isn't kept in the database {alias!r}",
                returncode=REFUSED,
            )
        return model

    def _table(self, model: Any, names: list[str], alias: str) -> str:
        name = physical(model._meta.db_table)
        if name not in names:
            raise CommandError(
                f"{model._meta.label} has no table {model._meta.db_table} in the"
                f" database {alias!r}. Have you run migrate?",
                returncode=REFUSED,
            )
        return name

    def _print_json(
        self,
        alias: str,
        done: list[Compared],
        found: list[Difference],
        state: Any,
    ) -> None:
        document = {
            "database": alias,
            "state": None
            if state is None
            else {"tx": state.tx, "hash": state.hash.hex()},
            "tables": [{"table": one.name, "rows": one.rows} for one in done],
            "broken": _document(found[0]) if found else None,
            "differences": [_document(one) for one in found],
        }
        self.stdout.write(json.dumps(document, indent=2))


def _document(one: Difference) -> dict[str, Any]:
    key = one.primary_key
    return {
        "kind": one.kind,
        "table": one.table,
        "primary_key": None if key is None else list(map(_plain, key)),
        "transaction": one.tx,
        "problem": one.problem,
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
