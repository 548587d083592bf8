"""``manage.py immudb_verify``."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.db import router

from backendkit.backends.immudb.management.base import ImmudbCommand
from backendkit.backends.immudb.verifying import (
    Break,
    Broken,
    Verifiable,
    find_tables,
    prove_rows,
    prove_tables,
)
from backendkit.nonrel.commands import REFUSED
from backendkit.progress import Progress

_FOUND = 1


class Command(ImmudbCommand):
    """
    Proves rows; others may read and write meanwhile.

    Exit status: 0 if all are proven, 1 at the first that isn't, 2 if that can't be
    told.
    """

    help = (
        "Verifies the rows of an immudb database against the state that this client"
        " has verified before, without trusting the server. Stops at the first row"
        " that can't be proven."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "models",
            nargs="*",
            metavar="app.Model",
            help=(
                "Model labels to restrict the verification to, such as app.Model. By"
                " default, the rows of all tables are verified."
            ),
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the result as JSON."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        # Before it is connected to.
        models = [self._model(label, alias) for label in options["models"]]
        done: list[tuple[Verifiable, int]] = []
        found = None
        with (
            self.opened(alias) as store,
            store.other() as reader,
            store.other() as prover,
        ):
            tables = find_tables(reader)
            if models:
                tables = {
                    table.name: table
                    for table in [self._table(model, tables, alias) for model in models]
                }
            try:
                total = reader.state().txId
                with self._progress("transactions", total) as shown:
                    step = functools.partial(shown.add, 1)
                    prove_tables(prover, tables.values(), step)
                for table in tables.values():
                    with self._progress(table.name, unit="rows") as shown:
                        step = functools.partial(shown.add, 1)
                        rows = prove_rows(reader, prover, table, step)
                    done.append((table, rows))
                    if not options["json"]:
                        self.stdout.write(f"{table.name}: {rows:,} rows")
            except Broken as broken:
                found = broken.found
            state = prover.verified_state()
        if options["json"]:
            self._print_json(alias, done, found, state)
        elif found is not None:
            self.stderr.write(str(found))
        else:
            count = sum(rows for _, rows in done)
            tx = state[0] if state else 0
            self.stdout.write(
                f"Verified {count:,} rows of {len(done):,} tables, as of transaction"
                f" {tx:,}"
            )
        if found is not None:
            sys.exit(_FOUND)

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

    def _table(
        self, model: Any, tables: dict[str, Verifiable], alias: str
    ) -> Verifiable:
        try:
            return tables[model._meta.db_table]
        except KeyError:
            raise CommandError(
                f"{model._meta.label} has no table {model._meta.db_table} in the"
                f" database {alias!r}. Have you run migrate?",
                returncode=REFUSED,
            ) from None

    def _print_json(
        self,
        alias: str,
        done: list[tuple[Verifiable, int]],
        found: Break | None,
        state: tuple[int, bytes] | None,
    ) -> None:
        document = {
            "database": alias,
            "state": None
            if state is None
            else {"tx": state[0], "hash": state[1].hex()},
            "tables": [{"table": table.name, "rows": rows} for table, rows in done],
            "broken": None
            if found is None
            else {
                "table": found.table,
                "primary_key": None
                if found.primary_key is None
                else [
                    value if isinstance(value, (bool, int, float, str)) else str(value)
                    for value in found.primary_key
                ],
                "problem": found.problem,
            },
        }
        self.stdout.write(json.dumps(document, indent=2))
