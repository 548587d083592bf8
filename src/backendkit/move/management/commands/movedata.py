"""``manage.py movedata``: copy the rows of models from one database to another."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from backendkit.move.copying import Copier
from backendkit.move.errors import ROW_ERRORS, MoveError
from backendkit.move.planning import Plan, make_plan
from backendkit.move.rows import Table
from backendkit.move.state import State
from backendkit.move.verifying import Comparison, compare
from backendkit.progress import Progress


class Command(BaseCommand):
    """Run it as ``movedata --from ALIAS --to ALIAS [LABEL …]``."""

    help = (
        "Copies the rows of all models, or of some, from one database to another, and"
        " compares both databases. The target must have been migrated. The command"
        " can be interrupted and resumed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the aliases, the labels and how to begin."""
        parser.add_argument(
            "labels",
            nargs="*",
            metavar="app_label[.ModelName]",
            help=(
                "Apps or models to move, with their many-to-many tables (default: all)."
            ),
        )
        parser.add_argument(
            "--from",
            dest="source",
            default="default",
            help="Alias of the database to read from.",
        )
        parser.add_argument(
            "--to",
            dest="target",
            required=True,
            help="Alias of the database to write to.",
        )
        parser.add_argument(
            "--exclude",
            "-e",
            action="append",
            default=[],
            help="App or model to leave out. Can be given several times.",
        )
        parser.add_argument(
            "--replace",
            action="append",
            default=[],
            help=(
                "App or model whose rows are first deleted from the target. Can be"
                " given several times. Content types, permissions and sites are"
                " always deleted."
            ),
        )
        parser.add_argument(
            "--batch",
            type=int,
            default=1000,
            help="Number of rows to commit at a time (default: 1000).",
        )
        again = parser.add_mutually_exclusive_group()
        again.add_argument(
            "--resume",
            action="store_true",
            help="Continue an interrupted move.",
        )
        again.add_argument(
            "--restart",
            action="store_true",
            help=(
                "Delete the rows that an interrupted move has copied, and start again."
            ),
        )
        parser.add_argument(
            "--take-over",
            action="store_true",
            help="Replace a move that still seems to be running.",
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Do not prompt for confirmation before rows are deleted.",
        )

    def handle(self, **options: Any) -> None:
        """
        Move the rows.

        :raises CommandError: the move can't begin or go on, or the databases differ.
        """
        source, target = options["source"], options["target"]
        self._check_aliases(source, target)
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1.")
        plan = make_plan(
            source, target, options["labels"], options["exclude"], options["replace"]
        )
        state = State(target)
        copier = Copier(source, target, plan, state, options["batch"])
        try:
            copier.check()
            if options["interactive"] and (options["restart"] or options["replace"]):
                self._confirm(target)
            state.acquire(take_over=options["take_over"])
            try:
                self._start(plan, state, copier, options)
                self._copy(plan, copier, source)
                compared = self._verify(plan, options)
            finally:
                self._leave(state)
        except ROW_ERRORS as error:
            raise CommandError(
                f"The move has stopped: {type(error).__name__}: {error}. If it had"
                " already copied rows, continue it with --resume."
            ) from error
        self._report(plan, compared)
        different = [found.difference for found in compared if found.difference]
        if different:
            raise CommandError(
                f"The databases differ: {different[0]}. If rows were added to"
                f" {source!r} meanwhile, --resume copies those with higher keys. If"
                " rows were changed or deleted, start again with --restart."
            )
        state.drop()
        self.stdout.write(
            self.style.SUCCESS(f"All rows were moved from {source} to {target}.")
        )

    def _check_aliases(self, source: str, target: str) -> None:
        for alias in (source, target):
            if alias not in connections:
                raise CommandError(
                    f"DATABASES has no alias {alias!r}. The aliases are:"
                    f" {', '.join(sorted(connections))}."
                )
        if source == target:
            raise CommandError(f"--from and --to are both {source!r}.")
        where = [
            [str(connections[alias].settings_dict[name]) for name in _PLACE]
            for alias in (source, target)
        ]
        if where[0] == where[1]:
            raise CommandError(f"{source!r} and {target!r} are the same database.")

    def _confirm(self, target: str) -> None:
        if not sys.stdin.isatty():
            raise CommandError(
                "Aborted: no terminal to confirm on. Pass --noinput to skip the question."
            )
        answer = input(
            f"This deletes rows in {target!r}. Do you want to continue? [yes/no] "
        )
        if answer.strip().lower() != "yes":
            raise CommandError("Aborted. Nothing was changed.")

    def _start(
        self, plan: Plan, state: State, copier: Copier, options: dict[str, Any]
    ) -> None:
        """Begin, or go on, and say what isn't moved."""
        description = {
            "source": options["source"],
            "models": [model._meta.label for model in plan.models],
        }
        before = state.plan()
        if before is not None and options["restart"]:
            copier.discard(before)
            before = None
        if before is None:
            copier.check_empty()
            copier.begin(description)
        elif not options["resume"]:
            raise MoveError(
                f"A move from {before['source']!r} to {options['target']!r} was"
                " interrupted. Continue it with --resume, or delete the rows that it"
                " has copied and start again with --restart."
            )
        elif before.get("discarded"):
            raise MoveError(
                "The move was interrupted while it deleted the rows that it had"
                " copied. Finish with --restart."
            )
        elif before["source"] != description["source"] or sorted(
            before["models"]
        ) != sorted(description["models"]):
            raise MoveError(
                "The interrupted move was one of other models from"
                f" {before['source']!r}: {', '.join(before['models'])}. Name the same"
                " models, or start again with --restart."
            )
        for label, why in plan.skipped.items():
            if "proxy" not in why:
                self.stdout.write(self.style.WARNING(f"Skipped: {label} {why}."))

    def _leave(self, state: State) -> None:
        """Give the lock back; remove the table if nothing has begun."""
        if not state.exists():
            return  # another process took over, and has finished
        if state.plan() is None:
            state.drop()
        else:
            state.release()

    def _copy(self, plan: Plan, copier: Copier, source: str) -> None:
        total = sum(Table(model).count(source) for model in plan.models)
        with Progress(self.stderr, "copied", total, unit="rows") as progress:
            copier.copy(lambda label, rows: progress.add(rows))

    def _verify(self, plan: Plan, options: dict[str, Any]) -> list[Comparison]:
        source, target = options["source"], options["target"]
        total = sum(Table(model).count(source) for model in plan.models)
        with Progress(self.stderr, "compared", total, unit="rows") as progress:
            return [
                compare(Table(model), source, target, options["batch"], progress.add)
                for model in plan.models
            ]

    def _report(self, plan: Plan, compared: list[Comparison]) -> None:
        width = max(len(found.label) for found in compared)
        self.stdout.write(f"{'Table':{width}}  {'Rows':>10}  {'Checksum':16}")
        for found in compared:
            rows, there = found.rows
            line = f"{found.label:{width}}  {rows:>10,}  {found.checksums[0]:016x}"
            if found.difference:
                line += f"  differs: {there:,} rows, {found.checksums[1]:016x}"
            self.stdout.write(line)


#: The settings that say which database it is.
_PLACE = ("ENGINE", "NAME", "HOST", "PORT")
