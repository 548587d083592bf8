"""``manage.py immudb_verify``."""

from __future__ import annotations

import datetime
import functools
import os
import sys
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.db import router

from backendkit.backends.immudb.management.base import ImmudbCommand
from backendkit.backends.immudb.names import logical, physical
from backendkit.clock import real
from backendkit.nonrel.commands import REFUSED
from backendkit.progress import Progress

if TYPE_CHECKING:
    from backendkit.backends.immudb.auditing.audit import Audit
    from backendkit.backends.immudb.auditing.report import Report
    from backendkit.backends.immudb.driver import Connection

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
            "--checkpoint",
            metavar="FILE",
            help=(
                "File to keep what was proven. The next run proves only the"
                " transactions since then, and compares all rows."
            ),
        )
        parser.add_argument(
            "--json",
            nargs="?",
            const="-",
            metavar="FILE",
            help="Write the report as JSON, to the standard output without a FILE.",
        )
        parser.add_argument(
            "--html", metavar="FILE", help="Write the report as a page to print."
        )
        parser.add_argument(
            "--require-state",
            action="store_true",
            help="Fail if this client has no verified state of the database.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias = options["database"]
        # Before it is connected to.
        models = [self._model(label, alias) for label in options["models"]]
        for name in ("checkpoint", "json", "html"):
            self._check_place(name, options[name])
        with (
            self.opened(alias) as store,
            store.other() as reader,
            store.other() as prover,
        ):
            first = self._is_first(prover, required=options["require_state"])
            if first and options["json"] != "-":
                self.stdout.write(
                    "First contact: no verified state is known. The server's state of"
                    " now is trusted."
                )
            report = self._run(reader, prover, models, options)
        if report.differences:
            sys.exit(_FOUND)
        if report.unsettled:
            raise CommandError(
                f"Definitions changed all the time, so {', '.join(report.unsettled)}"
                " couldn't be compared. Run it again when no tables are changed",
                returncode=REFUSED,
            )

    @staticmethod
    def _is_first(prover: Connection, *, required: bool) -> bool:
        """
        Whether nothing is known of the database.

        :raises CommandError: nothing is, but it is required.
        """
        first = prover.verified_state() is None
        if first and (required or prover.require_state):
            raise CommandError(
                "This client has no verified state of the database, but one is"
                " required. Restore the file of states from a backup, or import a state"
                " with manage.py immudb_state.",
                returncode=REFUSED,
            )
        return first

    def _check_place(self, option: str, path: str | None) -> None:
        """Refuse what couldn't be written after hours of proving."""
        if path is None or (option == "json" and path == "-"):
            return
        folder = os.path.dirname(os.path.abspath(path))
        if os.path.isdir(path) or not os.access(folder, os.W_OK | os.X_OK):
            raise CommandError(
                f"--{option}: {path} can't be written. Name a file in a folder that"
                " exists and that you may write to",
                returncode=REFUSED,
            )

    def _run(
        self, reader: Any, prover: Any, models: list[Any], options: dict[str, Any]
    ) -> Report:
        """Audit the database, write the report and the checkpoint."""
        # gRPC is loaded when it is used.
        from backendkit.backends.immudb.auditing import checkpoint  # noqa: PLC0415  # as above
        from backendkit.backends.immudb.auditing.audit import Audit  # noqa: PLC0415  # as above
        from backendkit.backends.immudb.auditing.history import History  # noqa: PLC0415  # as above
        from backendkit.backends.immudb.auditing.report import Report, Signer  # noqa: PLC0415  # as above
        from backendkit.backends.immudb.auditing.versions import Versions  # noqa: PLC0415  # as above

        path, database = options["checkpoint"], prover.remembered_as
        history = None if path is None else checkpoint.load(path, database)
        report = Report(
            options["database"],
            database,
            real.datetime.now(datetime.UTC),
            prover.verified_state(),
            None if history is None else history.state,
        )
        if history is None:
            folder = None if path is None else os.path.dirname(os.path.abspath(path))
            history = History(Versions(folder))
        with history.versions:
            audit = Audit(reader, prover, history)
            self._audit(audit, report, models, options)
            report.walked, report.others = history.walked, history.others
            is_proven = all(one.kind != "history" for one in report.differences)
            if is_proven:
                report.state = history.state
            report.signer = Signer(*prover.signer())
            self._write(report, options)
            if is_proven and path is not None and history.state is not None:
                checkpoint.save(path, database, history)
        return report

    def _audit(
        self,
        audit: Audit,
        report: Report,
        models: list[Any],
        options: dict[str, Any],
    ) -> None:
        """Prove and compare; note in the report what came of it."""
        from backendkit.backends.immudb.auditing.audit import Unproven  # noqa: PLC0415  # as above
        from backendkit.backends.immudb.auditing.report import counted  # noqa: PLC0415  # as above

        try:
            if audit.history.state is not None:
                audit.resume(options["checkpoint"])
            total = max(audit.last() - audit.history.tx, 0)
            with self._progress("transactions", total) as shown:
                audit.prove(functools.partial(shown.add, 1))
            names = audit.tables()
            if models:
                wanted = {self._table(model, names, options) for model in models}
                report.omitted = [logical(one) for one in names if one not in wanted]
                names = [one for one in names if one in wanted]
            for name in names:
                with self._progress(logical(name), unit="rows") as shown:
                    one = audit.compare(name, functools.partial(shown.add, 1))
                if one is None:
                    continue
                report.tables.append(one)
                report.differences += one.differences
                if options["json"] != "-":
                    self.stdout.write(f"{one.name}: {counted(one.rows, 'row')}")
            listed = audit.compare_names()
            report.unlisted = listed is None
            report.differences += listed or []
        except Unproven as error:
            report.differences.append(error.found)

    def _write(self, report: Report, options: dict[str, Any]) -> None:
        from backendkit.backends.immudb.auditing.report import counted  # noqa: PLC0415  # as above

        for path, text in (
            (options["json"], report.json),
            (options["html"], report.html),
        ):
            if path == "-" and path == options["json"]:
                self.stdout.write(text())
            elif path is not None:
                with self.refusing(), open(path, "w", encoding="utf-8") as file:
                    file.write(text())
        if options["json"] == "-":
            return
        for one in report.differences:
            self.stderr.write(str(one))
        if report.more:
            self.stderr.write(f"{counted(report.more, 'more difference')}")
        if not report.differences and not report.unsettled:
            tx = report.state.tx if report.state else 0
            self.stdout.write(
                f"Verified {counted(report.rows, 'row')} of"
                f" {counted(len(report.tables), 'table')}, as of transaction {tx:,}"
            )

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

    def _table(self, model: Any, names: list[str], options: dict[str, Any]) -> str:
        name = physical(model._meta.db_table)
        if name not in names:
            raise CommandError(
                f"{model._meta.label} has no table {model._meta.db_table} in the"
                f" database {options['database']!r}. Have you run migrate?",
                returncode=REFUSED,
            )
        return name
