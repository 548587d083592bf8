"""Clients that write and read at the same time: the backend's own code on simulated time."""

import contextlib
import functools
import itertools

from backendkit import clock
from backendkit.backends.immudb import journal, session, shared
from backendkit.backends.immudb.catalog import JOURNAL, META, TABLES, Stored
from backendkit.backends.immudb.gate import GATE, VERSION
from backendkit.backends.immudb.shared import Shared
from backendkit.backends.immudb.store import ImmudbStore
from backendkit.stores import (
    Column,
    ConflictError,
    Index,
    OperationalError,
    Table,
    ValueType,
)

from . import history
from .history import BASE, DELETED, INSERTED, Node
from .server import Connection, Server
from .world import Process, World

#: Entries of a transaction of immudb's, rows of a part of the journal, and of a table.
LIMIT, PART, ROWS = 10, 8, 6
#: Transactions that write: a value has 64 bits.
MOST = 28

_COLUMNS = (Column("id", ValueType.INTEGER), Column("value", ValueType.INTEGER))
#: The rows of the second one leave their places in an index.
PLAIN = Table("plain", _COLUMNS, ("id",))
INDEXED = Table("indexed", _COLUMNS, ("id",), (Index("by_value", ("value",)),))
STORED = (
    Stored(PLAIN, {}, frozenset()),
    Stored(INDEXED, {}, frozenset({("value",)})),
)


class Store(ImmudbStore):
    """A store on the simulated server, of one thread."""

    def __init__(self, server, world, known):
        super().__init__({})
        self.shared = known
        self._server, self._world = server, world

    def acquire(self):
        if self._idle:
            return self._idle.pop()
        return Connection(self._server, self._world)


class Simulation:
    """
    One schedule of some processes on one server.

    :param seed: all that happens follows from it.
    """

    def __init__(self, seed):
        self.world = World(seed)
        self.chance = self.world.chance
        self.server = Server(LIMIT)
        self.nodes = []
        self.faults = 0
        self.written = 0
        self._names = itertools.count()
        self._fill()

    def _fill(self):
        server = self.server
        server.create(META, ("id", "version"), 1)
        server.create(TABLES, ("name", "definition"), 1)
        server.create(JOURNAL, ("journal", "part", "data"), 2)
        server.create("backendkit_numbers", ("name", "given"), 1)
        server.relation(META).put(0, (VERSION,), (VERSION, 1))
        for stored in STORED:
            name = stored.table.name
            server.create(name, ("id", "value"), 1)
            server.relation(TABLES).put(0, (name,), (name, stored.to_json()))
            for key in (*range(ROWS), *range(DELETED, DELETED + MOST)):
                server.relation(name).put(0, (key,), (key, 0))

    def run(self):
        """
        Run the schedule, and check what was seen.

        :raises AssertionError: something is wrong.
        """
        with self._patched():
            self._crowd()
            self.world.run()
            self._finish()
        history.check(self.nodes)
        self._check_rest()

    @contextlib.contextmanager
    def _patched(self):
        world = self.world
        with contextlib.ExitStack() as stack:
            for place, name, value in (
                (clock, "monotonic", world.monotonic),
                (journal, "time", world.module_time()),
                (journal, "secrets", world.module_secrets()),
                (journal, "_ROWS", PART),
                (journal, "_REQUEST", 200),
                (session, "SAFE_ENTRIES", 5),
                (shared, "SAFE_ENTRIES", LIMIT),
            ):
                former = getattr(place, name)
                setattr(place, name, value)
                stack.callback(setattr, place, name, former)
            yield

    def _crowd(self):
        """Let processes and their threads begin."""
        chance = self.chance
        troubled = chance.random() < 0.5
        self.world.losses = chance.choice((0.0, 0.01, 0.03)) if troubled else 0.0
        writers = chance.choice((1, 1, 2))
        for number in range(writers + chance.choice((1, 2, 3))):
            process = self._process()
            if troubled and chance.random() < 0.5:
                process.calls_left = chance.randrange(10, 90)
                self.faults += 1
            known = Shared()
            for _ in range(chance.choice((1, 1, 2))):
                client = Client(self, known, may_be_large=number < writers)
                self.world.start(process, client.work)

    def _process(self):
        chance = self.chance
        return Process(
            self.world,
            f"process {next(self._names)}",
            rate=chance.uniform(0.99, 1.01),
            offset=chance.uniform(0, 1e6),
        )

    def _finish(self):
        """Let a new client come when all the others are gone, and read all."""
        self.world.calm = True
        client = Client(self, Shared(), may_be_large=False)
        self.world.start(self._process(), client.read_both)
        self.world.run()

    def _check_rest(self):
        gate = dict(row for _, row in self.server.relation(META).find(self.server.last))
        assert gate.get(GATE, 0) <= 0, f"the gate is still closed: {gate}"
        if not self.faults and not self.world.losses:
            left = self.server.relation(JOURNAL).find(self.server.last)
            # A small one may have a journal, too: rows count for more than one entry.
            aborted = any(one.outcome == "aborted" for one in self.nodes)
            assert aborted or not left, f"the journal still has {len(left)} rows"

    def number(self):
        """Return the number of another transaction that writes."""
        self.written += 1
        return self.written - 1


class Client:
    """A thread that writes and reads."""

    def __init__(self, simulation, known, *, may_be_large):
        self._simulation = simulation
        self._world = simulation.world
        self._chance = simulation.chance
        self._store = Store(simulation.server, simulation.world, known)
        self._may_be_large = may_be_large

    def work(self):
        for _ in range(self._chance.randrange(2, 5)):
            self._world.pause(self._chance.expovariate(3.0))
            work = self._choose()
            for _ in range(self._chance.choice((1, 1, 4))):
                if self._simulation.written >= MOST:
                    work = self.read_both
                with contextlib.suppress(ConflictError, OperationalError):
                    work()

    def _choose(self):
        if self._may_be_large and self._chance.random() < 0.5:
            return functools.partial(self._write, large=True)
        return self._chance.choice(
            (self._write, self.read_one, self.read_both, self.read_and_roll_back)
        )

    # Reading

    def read_one(self):
        """Run one statement outside of a transaction."""
        table = self._chance.choice((PLAIN, INDEXED))
        with self._session(self._store.reader(), write=False) as (one, node):
            one.alone = True
            self._read(one, table, node)

    def read_both(self):
        """Run two statements outside of a transaction that belong together."""
        with self._session(self._store.reader(), write=False) as (one, node):
            for table in (PLAIN, INDEXED):
                self._read(one, table, node, f" UNTIL TX {one.until()}")
                self._think()

    def read_and_roll_back(self):
        """Read in a transaction that might write, and doesn't."""
        with self._session(self._store.session(), write=False) as (one, node):
            node.whole = False
            for table in self._chance.choices((PLAIN, INDEXED), k=3):
                self._think()
                self._read(one, table, node)

    @contextlib.contextmanager
    def _session(self, one, *, write):
        number = self._simulation.number() if write else -1
        node = Node(number, self._world.now, outcome="read")
        self._simulation.nodes.append(node)
        try:
            one.begin(write=write)
            yield one, node
        finally:
            one.rollback()
            # What nobody has acknowledged may be committed later, by somebody else.
            if node.outcome != "unknown":
                node.ended = self._world.now

    def _read(self, one, table, node, until=""):
        rows = one.run_query(f'SELECT id, value FROM "{table.name}"{until}', (), table)
        values = dict(rows)
        places = set(values).union(
            range(INSERTED, INSERTED + MOST), range(DELETED, DELETED + MOST)
        )
        seen = {(table.name, key): values.get(key) for key in places}
        for place in seen.keys() & node.seen.keys():
            if seen[place] != node.seen[place]:
                raise history.Wrong(f"{node.name} has seen {place} change")
        node.seen |= seen
        return values

    def _think(self):
        if self._chance.random() < 0.3:
            self._world.pause(self._chance.expovariate(3.0))

    # Writing

    def _write(self, *, large=False):
        chance = self._chance
        one = self._store.session()
        with self._session(one, write=True) as (_, node):
            node.outcome, node.large, node.whole = "aborted", large, False
            writes = {}
            for table in (PLAIN, INDEXED):
                least = ROWS - 2 if large else 0
                keys = chance.sample(
                    range(ROWS), chance.randrange(least, ROWS if large else 3)
                )
                if not large and chance.random() < 0.3:
                    continue
                self._think()
                values = self._read(one, table, node)
                tables = one.catalog().tables
                self._change(one, tables[table.name], keys, values, node.number)
                writes.update(((table.name, key), None) for key in keys)
                if large:
                    one.insert(
                        tables[table.name],
                        [(INSERTED + node.number, BASE**node.number)],
                    )
                    one.delete(tables[table.name], [(DELETED + node.number,)])
                    writes[table.name, INSERTED + node.number] = None
                    writes[table.name, DELETED + node.number] = None
            node.writes = frozenset(writes)
            self._think()
            self._commit(one, node)

    @staticmethod
    def _change(one, table, keys, values, number):
        changes = {(key,): (values[key] + BASE**number,) for key in keys}
        one.set_columns(table, ("value",), changes)

    def _commit(self, one, node):
        if not node.writes:
            return
        node.outcome, node.whole = "unknown", True
        try:
            one.commit()
        except ConflictError:
            node.outcome, node.whole = "aborted", False
            raise
        except OperationalError as error:
            if "nothing was committed" in str(error):
                node.outcome, node.whole = "aborted", False
            raise
        node.outcome = "committed"


def simulate(seed):
    """Run the schedule of a seed; say which one it was if it fails."""
    try:
        Simulation(seed).run()
    except Exception as error:
        error.add_note(f"of the schedule with seed {seed}")
        raise
