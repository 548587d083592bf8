"""One example: models, rows and what is asked of them, run on all databases."""

import contextlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from django.db import transaction

from .compare import difference
from .databases import ORACLE, empty, outcome
from .rows import Rows
from .schemas import Schema, build
from .surroundings import Surroundings, in_child, shared

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
    surroundings: Surroundings = field(default_factory=Surroundings)

    def __str__(self):
        when = "committed" if self.committed else "in one transaction"
        return (
            f"# {self.surroundings}\n\n# models\n{self.schema}\n\n# rows ({when})\n{self.rows}\n\n"
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


def _check(case, aliases, ask):
    if LOG:
        # A crash of the process leaves nothing else behind.
        Path(LOG).write_text(f"{case}\n\n{case!r}\n", encoding="utf-8")
    built = build(case.schema)
    built.create_tables(ORACLE)
    with _inserted(case, built, ORACLE) as inserted:
        expected = list(ask(case, built, ORACLE))
    for alias in aliases:
        with case.surroundings.around(alias):
            built.create_tables(alias)
            with _inserted(case, built, alias) as found:
                _compare(case, alias, inserted, found)
                # Nobody else sees what isn't committed yet.
                asked = _asked_amid_others if case.committed else _asked
                asked(case, built, alias, ask, expected)


def _compare(case, alias, expected, answers):
    for (what, wanted, options), (_, got, _) in zip(expected, answers, strict=True):
        found = difference(wanted, got, **options)
        if found is not None:
            raise DifferenceError(f"\n{case}\n\n# differs on {alias}\n{what}\n{found}")


def _asked(case, built, alias, ask, expected, between=lambda: None):
    _compare(case, alias, expected, list(ask(case, built, alias, between)))


def _asked_amid_others(case, built, alias, ask, expected):
    around = case.surroundings
    model = next(iter(built.classes.values()))
    # A query that goes on while others fork and migrate. Whether it sees what its own
    # connection writes isn't said.
    reading = ask is _ask and (around.forked or around.migrated)
    with around.migrating(alias, model._meta.db_table) as migrate:
        if reading:
            keys = list(_keys(model, alias))
            opened = _keys(model, alias)
            begun = [key for _, key in zip(range(2), opened, strict=False)]
        if around.forked and (ask is _ask or shared(alias)):
            told = in_child(partial(_told, case, built, alias, ask, expected))
            if told:
                raise DifferenceError(f"\n{case}\n\n# in a child on {alias}\n{told}")
        if around.forked and ask is _write and shared(alias):
            tables = list(_tables(built, alias))
            _compare(case, alias, expected[-len(tables) :], tables)
        else:
            _asked(case, built, alias, ask, expected, migrate)
        if reading and (seen := [*begun, *opened]) != keys:
            raise DifferenceError(f"\n{case}\n\n# a cursor on {alias}\n{seen}\n{keys}")


def _told(case, built, alias, ask, expected):
    """The text of a difference; none if there isn't one."""
    try:
        _asked(case, built, alias, ask, expected)
    except DifferenceError as error:
        return str(error)
    return ""


def _keys(model, alias):
    """All primary keys, read one by one."""
    keys = model._base_manager.using(alias).order_by("pk").values_list("pk", flat=True)
    return keys.iterator(chunk_size=1)


@contextlib.contextmanager
def _inserted(case, built, alias):
    """Insert the rows for this block; yield what each statement answered."""
    if case.committed:
        try:
            yield list(_insert(case, built, alias))
        finally:
            empty(alias, built)
        return
    with transaction.atomic(using=alias):
        yield list(_insert(case, built, alias))
        transaction.set_rollback(True, using=alias)


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


def _ask(case, built, alias, between=lambda: None):
    for query in case.steps:
        between()
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


def _write(case, built, alias, between=lambda: None):
    for step in case.steps:
        between()
        for answer in step.run(alias, built):
            yield str(step), answer, {}
    between()
    yield from _tables(built, alias)


def _tables(built, alias):
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
