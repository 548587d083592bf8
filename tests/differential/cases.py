"""One example: models, rows and what is asked of them, run on all databases."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.db import transaction

from .compare import difference
from .databases import ORACLE, empty, outcome
from .rows import Rows
from .schemas import Schema, build

LOG = os.environ.get("DIFFERENTIAL_LOG")


@dataclass(frozen=True)
class Case:
    """
    What Hypothesis shrinks and prints. Its ``repr`` can be pasted into
    ``regressions.py``; its ``str`` is for reading.
    """

    schema: Schema
    rows: Rows = field(default_factory=Rows)
    #: Query objects, or Write and Block objects.
    steps: tuple = ()
    #: Ask after a commit; otherwise in the transaction that wrote the rows.
    committed: bool = True

    def __str__(self):
        when = "committed" if self.committed else "in one transaction"
        return (
            f"# models\n{self.schema}\n\n# rows ({when})\n{self.rows}\n\n"
            f"# steps\n" + "\n".join(map(str, self.steps))
        )


class DifferenceError(AssertionError):
    """Two databases gave different answers."""


def check_queries(case, aliases):
    """Insert the rows everywhere, ask everywhere, compare; leave nothing behind."""
    _check(case, aliases, _ask)


def check_writes(case, aliases):
    """Insert the rows everywhere, write everywhere, compare answers and tables."""
    _check(case, aliases, _write)


def _check(case, aliases, run):
    if LOG:
        # A crash of the process leaves nothing else behind.
        Path(LOG).write_text(f"{case}\n\n{case!r}\n", encoding="utf-8")
    built = build(case.schema)
    expected = None
    for alias in (ORACLE, *aliases):
        built.create_tables(alias)
        answers = _on_one(case, built, alias, run)
        if expected is None:
            expected = answers
            continue
        for (what, wanted, options), (_, got, _) in zip(expected, answers, strict=True):
            found = difference(wanted, got, **options)
            if found is not None:
                raise DifferenceError(
                    f"\n{case}\n\n# differs on {alias}\n{what}\n{found}"
                )


def _on_one(case, built, alias, run):
    if case.committed:
        try:
            return [*_insert(case, built, alias), *run(case, built, alias)]
        finally:
            empty(alias, built)
    with transaction.atomic(using=alias):
        answers = [*_insert(case, built, alias), *run(case, built, alias)]
        transaction.set_rollback(True, using=alias)
    return answers


def _insert(case, built, alias):
    """
    Insert the rows table by table; where that fails, row by row.

    Yields which rows a constraint kept out: the same everywhere.
    """
    for name, model in built.classes.items():
        chosen = [row.values for row in case.rows.rows if row.model == name]
        everything = outcome(alias, partial(_create, model, alias, chosen))
        yield f"{name}.objects.bulk_create(...)", everything, {}
        if everything[0] == "Raised":
            for values in chosen:
                one = outcome(alias, partial(_create, model, alias, [values]))
                yield f"{name}.objects.create(**{values})", one, {}
    for link in case.rows.links:
        yield str(link), outcome(alias, partial(_link, link, built)), {}


def _create(model, alias, chosen):
    with transaction.atomic(using=alias):
        if len(chosen) == 1:
            model(**chosen[0]).save(force_insert=True)
        else:
            model._base_manager.bulk_create([model(**values) for values in chosen])


def _link(link, built):
    source = built.classes[link.model].objects.get(pk=link.source)
    getattr(source, link.field).add(*link.targets)


def _ask(case, built, alias):
    for query in case.steps:
        scale = case.rows.scale() if query.inexact else None
        answer = outcome(alias, partial(query.evaluate, built))
        yield (
            str(query),
            answer,
            {
                "ordered": query.ordered,
                "scale": scale,
                "sliced": query.source.endswith("]"),
            },
        )


def _write(case, built, alias):
    for step in case.steps:
        for answer in step.run(alias, built):
            yield str(step), answer, {}
    for model in built.all_models():
        table = outcome(alias, partial(_table, model))
        yield f"rows of {model.__name__}", table, {"ordered": False}


def _table(model):
    """All rows; without the row ids of many-to-many tables, which nobody chose."""
    columns = [
        f.attname
        for f in model._meta.concrete_fields
        if not (model._meta.auto_created and f.primary_key)
    ]
    return model._base_manager.values_list(*columns)
