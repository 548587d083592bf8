"""
What immudb finds by a secondary index beside writers, now and in the past.

An index that was made later than the rows is wrong for moments before it: what reads the
past doesn't use one. Statements of now read ``UNTIL TX`` the last transaction by any.
"""

import threading

import pytest
from django.db import DatabaseError, connections, models, transaction

from tests.effort import chance as seeded
from tests.effort import examples
from tests.nonrel.models import Registry

pytest.importorskip("grpc", reason="needs the extra immudb")

ROWS, GROUPS = 40, 5
#: Transactions of the writers, meanwhile.
CHANGES = examples(test=10, check=50, soak=2000)


class Member(models.Model):
    group = models.IntegerField(db_index=True)
    card = models.IntegerField(unique=True, null=True)

    class Meta:
        app_label = "indexes"
        apps = Registry()


class Writer(threading.Thread):
    """Moves rows from group to group, one by one and together, until it is told to end."""

    def __init__(self, seed):
        super().__init__()
        self.chance = seeded("writer", seed)
        self.over = threading.Event()
        self.done = 0

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self.move()
                except DatabaseError as error:
                    # Another one was faster, time and again.
                    assert "run it again" in str(error)  # noqa: PT017  # others are raised
                else:
                    self.done += 1
        finally:
            connections.close_all()

    def move(self):
        pk, group = self.chance.randint(1, ROWS), self.chance.randrange(GROUPS)
        match self.chance.randrange(4):
            case 0:
                Member.objects.filter(pk=pk).update(group=group)
            case 1:
                Member.objects.filter(group=group).update(group=(group + 1) % GROUPS)
            case 2:
                with transaction.atomic():
                    for other in range(pk, min(pk + 4, ROWS) + 1):
                        Member.objects.filter(pk=other).update(group=group, card=None)
            case 3:
                with transaction.atomic():
                    Member.objects.filter(pk=pk).delete()
                    Member(pk=pk, group=group).save(force_insert=True)


def differing(connection, tx):
    """Return the groups of which the index says something else than the primary key."""
    source = f'FROM "indexes_member" UNTIL TX {tx}'
    rows = connection.query(f'SELECT id, "group" {source} USE INDEX ON (id)').rows
    found = []
    for group in range(GROUPS):
        by_index = connection.query(
            f'SELECT id {source} USE INDEX ON ("group") WHERE "group" = ?', [group]
        ).rows
        wanted = sorted(pk for pk, its in rows if its == group)
        if sorted(pk for (pk,) in by_index) != wanted:
            found.append((group, by_index, wanted))
    return found


@pytest.mark.check
def test_beside_writers_and_after_a_crash(database, connection, server):
    database.create(Member)
    Member.objects.bulk_create(Member(group=n % GROUPS, card=n) for n in range(ROWS))
    began = connection.state().txId
    writers = [Writer(seed) for seed in range(4)]
    chance = seeded("moments")

    def moments():
        last = connection.state().txId
        return [last, last, chance.randint(max(began, last - 5), last)] + [
            chance.randint(began, last) for _ in range(2)
        ]

    for writer in writers:
        writer.start()
    try:
        while sum(writer.done for writer in writers) < CHANGES:
            assert all(writer.is_alive() for writer in writers)
            for tx in moments():
                assert differing(connection, tx) == []
    finally:
        for writer in writers:
            writer.over.set()
        for writer in writers:
            writer.join()
    # What wasn't on the disk of the indexes is made again of the log.
    server.kill()
    server.start()
    for _ in range(5):
        for tx in moments():
            assert differing(connection, tx) == []
