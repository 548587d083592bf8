"""A connection that lives for days keeps no more than one that is new."""

import gc

from backendkit.engine.vtab import VirtualTable
from tests.effort import effort


def test_plans_dont_grow_with_the_rows(connection):
    """A statement has one plan, however many rows there are when it is prepared."""
    connection.execute("CREATE TABLE t (id integer PRIMARY KEY, a integer, b text)")
    connection.execute("CREATE INDEX t_a ON t (a)")
    sizes = []
    for number in range(effort(test=600, soak=50_000)):
        connection.execute("INSERT INTO t (a, b) VALUES (?, 'x')", (number,))
        some = ", ".join("?" * (number % 300 + 1))
        sql = f"SELECT b FROM t WHERE a IN ({some}) AND b <> '{number % 7}' LIMIT 2"
        connection.execute(sql, range(number % 300 + 1)).fetchall()
        if number % 300 == 299:
            sizes.append(
                sum(
                    len(one.plans) + len(one.layouts)
                    for one in gc.get_objects()
                    if type(one) is VirtualTable and one.connection is connection
                )
            )
    assert 0 < sizes[0] == sizes[-1] <= 20
