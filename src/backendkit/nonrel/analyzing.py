"""``QuerySet.explain(analyze=True)``: the query is run, and each step measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db.models.sql.constants import MULTI

if TYPE_CHECKING:
    from .compiler import SQLCompiler


def analyzed(compiler: SQLCompiler) -> Iterator[str]:
    """
    Run a query that is explained, and forget its rows.

    :returns: a line for each way in which a table was read, and one for all: how
        often, rows that were looked at to find those that were read, seconds.
    """
    query = compiler.query.clone()
    query.explain_info = None
    wrapper = compiler.connection
    run = query.get_compiler(compiler.using, wrapper, compiler.elide_empty)
    calls: list[dict[str, Any]] = []
    wrapper.ensure_connection()
    engine = wrapper.connection
    before, engine.trace = engine.trace, calls
    start = time.perf_counter()
    try:
        number = sum(len(rows) for rows in run.execute_sql(MULTI, chunked_fetch=True))
    finally:
        engine.trace = before
    seconds = time.perf_counter() - start
    # A table on the inner side of a join is read for each row of the outer side.
    steps: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for call in calls:
        steps.setdefault((call["table"], call["call"]), []).append(call)
    for (table, how), together in steps.items():
        yield _line(table, how, together)
    yield f"measured: {_rows(number)} in {seconds:.6f} s"


def _line(table: str, how: str, calls: list[dict[str, Any]]) -> str:
    rows = sum(call["rows"] for call in calls)
    # A store doesn't tell what it looked at for rows that it found by a whole key.
    looked = sum(call.get("looked", call["rows"]) for call in calls)
    times = "once" if len(calls) == 1 else f"{len(calls):,} times"
    seconds = sum(call["time"] for call in calls)
    return (
        f"measured: {table}: {how}: {times}, {_rows(looked)} read, {rows:,} returned,"
        f" {seconds:.6f} s"
    )


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
