"""Comparing a table of two databases, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import reset_queries

from backendkit.move.copying import shown
from backendkit.move.rows import Key, Row, Table, checksum

_SUM = 1 << 64


@dataclass
class Comparison:
    """
    What both databases have of a table.

    :param rows: numbers of rows in the source and in the target.
    :param checksums: sums over the rows' canonical values, in the same order.
    :param difference: names the first row that differs and how; None if none does.
    """

    label: str
    rows: tuple[int, int] = (0, 0)
    checksums: tuple[int, int] = (0, 0)
    difference: str | None = None


def compare(
    table: Table,
    source: str,
    target: str,
    size: int,
    on_rows: Callable[[int], None],
) -> Comparison:
    """
    Read all rows of both databases, a batch at a time.

    Rows are found in the target by their keys: databases order text differently.
    """
    result = Comparison(table.label)
    count = sums = there = there_sums = 0
    for found in table.batches(source, size):
        keys = [key for key, _ in found]
        copies = table.lookup(target, keys)
        for key, row in found:
            count += 1
            sums += (sum_of_row := checksum(table.row_texts(row)))
            sum_of_copy = None
            if (copy := copies.get(table.key_name(key))) is not None:
                there += 1
                there_sums += (sum_of_copy := checksum(table.row_texts(copy)))
            if result.difference is None and sum_of_row != sum_of_copy:
                result.difference = _difference(table, key, row, copy, target)
        on_rows(len(found))
        reset_queries()
    total = table.count(target)
    if total != there and result.difference is None:
        result.difference = _first_extra(table, source, target, size)
    result.rows = count, total
    result.checksums = sums % _SUM, there_sums % _SUM
    return result


def _difference(
    table: Table, key: Key, row: Row, copy: Row | None, target: str
) -> str | None:
    if copy is None:
        return f"{table.label} {shown(key)} isn't in {target!r}"
    texts = zip(table.row_texts(row), table.row_texts(copy), strict=True)
    for field, value, other, (text, copied) in zip(
        table.fields, row, copy, texts, strict=True
    ):
        if text != copied:
            return (
                f"{table.label} {shown(key)}: {field.attname} was {value!r:.100}, but"
                f" is {other!r:.100} in {target!r}"
            )
    return None


def _first_extra(table: Table, source: str, target: str, size: int) -> str:
    for found in table.batches(target, size):
        there = table.lookup(source, [key for key, _ in found])
        for key, _ in found:
            if table.key_name(key) not in there:
                return (
                    f"{table.label} {shown(key)} is in {target!r}, but not in"
                    f" {source!r}"
                )
    return f"{table.label}: rows were added or deleted during the comparison"
