"""An immudb in memory, for what large transactions and their readers ask."""

import contextlib
import re
import types

from backendkit.stores import (
    ConflictError,
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
)

from .world import Lost

_SELECT = re.compile(
    r"SELECT (?P<distinct>DISTINCT )?(?P<columns>.+?) FROM (?P<table>\w+(\(\))?)"
    r"( UNTIL TX (?P<until>\d+))?( USE INDEX ON \([\w, ]+\))?"
    r"( WHERE (?P<where>.+?))?( ORDER BY (?P<order>.+?))?"
    r"( LIMIT (?P<limit>\?|\d+))?( OFFSET (?P<offset>\?|\d+))?"
)
_WRITE = re.compile(
    r"(?P<verb>INSERT|UPSERT) INTO (?P<table>\w+) \((?P<columns>[\w, ]+)\) VALUES "
    r"(?P<rows>[(?, )]+?)(?P<replace> ON CONFLICT DO UPDATE SET [\w, =?]+)?"
)
_DELETE = re.compile(
    r"DELETE FROM (?P<table>\w+) WHERE (?P<where>.+?)( LIMIT (?P<limit>\d+))?"
)
_GUARD = re.compile(
    r"DELETE FROM (?P<table>\w+) WHERE "
    r"\(id = \? AND version != \? AND CAST\('(?P<other>[^']+)' AS INTEGER\) = 0\) OR "
    r"\(id = \? AND version > \? AND CAST\('(?P<more>[^']+)' AS INTEGER\) = 0\)"
)
_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \(.*\)")
_TEST = re.compile(r"(\w+) (=|<=) (\?|\d+)")


def _matched(pattern, sql):
    found = pattern.fullmatch(sql)
    assert found, f"the simulated server doesn't know {sql}"
    return found


class Relation:
    """
    The rows of a table, with all their versions.

    :param columns: names; the primary key's first.
    :param width: how many of them are the primary key.
    """

    def __init__(self, columns, width):
        self.columns, self.width = columns, width
        self.versions = {}

    def put(self, tx, key, row):
        self.versions.setdefault(key, []).append((tx, row))

    def find(self, tx, tests=(), *, limit=None, descending=False):
        """
        Return rows as of a transaction, in the order of their keys.

        :param tests: column, operator and value of each condition.
        :return: the transaction that wrote each of them, and the row.
        """
        at = [(self.columns.index(name), sign, value) for name, sign, value in tests]
        if [(place, sign) for place, sign, _ in at] == [
            (place, "=") for place in range(self.width)
        ]:
            keys = [tuple(value for _, _, value in at)]
        else:
            keys = sorted(self.versions, reverse=descending)
        found = []
        for key in keys:
            version = self._version(key, tx)
            if version and all(
                version[1][place] == value
                if sign == "="
                else version[1][place] <= value
                for place, sign, value in at
            ):
                found.append(version)
                if len(found) == limit:
                    break
        return found

    def _version(self, key, tx):
        for version in reversed(self.versions.get(key, ())):
            if version[0] <= tx:
                return None if version[1] is None else version
        return None


class Transaction:
    """
    What one has read and will write.

    As immudb does, it takes a snapshot of each table when it first reads there, and has
    no conflict if all that it has read is the same at the commit.
    """

    def __init__(self, server):
        self._server = server
        self._snapshots = {}
        self._read = []
        self.writes = {}

    def find(self, name, tests=(), **how):
        relation = self._server.relation(name)
        snapshot = self._snapshots.setdefault(name, self._server.last)
        found = relation.find(snapshot, tests, **how)
        self._read.append((relation, tests, how, [tx for tx, _ in found], found))
        return found

    def check(self):
        for relation, tests, how, _, found in self._read:
            if relation.find(self._server.last, tests, **how) != found:
                raise ConflictError("tx read conflict")


class Server:
    """
    The database.

    :param most: entries that a transaction may have.
    """

    def __init__(self, most):
        self.most = most
        self.last = 0
        self.relations = {}

    def create(self, name, columns, width):
        self.relations.setdefault(name, Relation(columns, width))

    def relation(self, name):
        if name not in self.relations:
            raise ProgrammingError(f"table does not exist ({name})")
        return self.relations[name]

    def query(self, sql, parameters, transaction):
        """Run a query in a transaction; without one, in one of its own."""
        rows = []
        values = iter(parameters)
        for part in sql.replace('"', "").split(" UNION ALL "):
            rows += self._select(part, values, transaction)
        return rows

    def _select(self, sql, values, transaction):
        found = _matched(_SELECT, sql)
        if found["table"] == "TABLES()":
            more = {"name": (), "name, 0, FALSE": (0, False)}[found["columns"]]
            return [(name, *more) for name in sorted(self.relations)]
        name, tests = found["table"], _tests(found["where"], values)
        how = {"descending": "DESC" in (found["order"] or "")}
        relation = self.relation(name)
        limit = found["limit"] and _value(found["limit"], values)
        offset = _value(found["offset"] or "0", values)
        if limit is not None:
            how["limit"] = limit + offset
        if found["until"]:
            until = int(found["until"])
            assert until <= self.last
            rows = relation.find(until, tests, **how)
        elif transaction is None:
            rows = relation.find(self.last, tests, **how)
        else:
            rows = transaction.find(name, tests, **how)
        rows = [row for _, row in rows[offset:]]
        if found["columns"] == "COUNT(*)":
            return [(len(rows),)]
        if found["columns"] == "CAST(id AS VARCHAR), version, TRUE":
            return [(str(key), value, True) for key, value in rows]
        places = [relation.columns.index(one) for one in found["columns"].split(", ")]
        answer = [tuple(row[place] for place in places) for row in rows]
        return list(dict.fromkeys(answer)) if found["distinct"] else answer

    def run(self, sql, parameters, transaction):
        """Run statements in a transaction; return how many rows they write."""
        values = iter(parameters)
        return sum(
            self._run(part, values, transaction)
            for part in sql.replace('"', "").split("; ")
        )

    def _run(self, sql, values, transaction):
        if sql.startswith("CREATE"):
            assert _matched(_CREATE, sql)[1] in self.relations
            return 0
        guard = _GUARD.fullmatch(sql)
        if guard is not None:
            return self._check(guard, values, transaction)
        if sql.startswith("DELETE"):
            found = _matched(_DELETE, sql)
            limit = int(found["limit"]) if found["limit"] else None
            tests = _tests(found["where"], values)
            rows = [
                row for _, row in transaction.find(found["table"], tests, limit=limit)
            ]
            width = self.relation(found["table"]).width
            for row in rows:
                transaction.writes[found["table"], row[:width]] = None
            return len(rows)
        found = _matched(_WRITE, sql)
        relation = self.relation(found["table"])
        columns = found["columns"].split(", ")
        assert columns == list(relation.columns)[: len(columns)]
        rows = found["rows"].count("(")
        for _ in range(rows):
            row = tuple(next(values) for _ in columns)
            key = row[: relation.width]
            if found["verb"] == "INSERT":
                tests = [
                    (name, "=", value)
                    for name, value in zip(relation.columns, key, strict=False)
                ]
                if transaction.find(found["table"], tests) and not found["replace"]:
                    raise IntegrityError("duplicated key")
            transaction.writes[found["table"], key] = row
        if found["replace"]:
            for _ in columns[relation.width :]:
                next(values)
        return rows

    @staticmethod
    def _check(guard, values, transaction):
        """Run a statement that fails if a row has another value, or a larger one."""
        one, wanted, other, most = (next(values) for _ in range(4))
        for _, (key, value) in transaction.find(guard["table"]):
            if key == one and value != wanted:
                raise DataError(f"can not cast string '{guard['other']}'")
            if key == other and value > most:
                raise DataError(f"can not cast string '{guard['more']}'")
        return 0

    def commit(self, transaction):
        """Commit; return the number of the transaction."""
        if len(transaction.writes) > self.most:
            raise OperationalError("max number of entries per tx exceeded")
        transaction.check()
        if transaction.writes:
            self.last += 1
            for (name, key), row in transaction.writes.items():
                self.relation(name).put(self.last, key, row)
        return self.last


def _tests(where, values):
    if where is None:
        return ()
    tests = []
    for part in where.split(" AND "):
        name, sign, value = _matched(_TEST, part).groups()
        tests.append((name, sign, _value(value, values)))
    return tests


def _value(text, values):
    return next(values) if text == "?" else int(text)


class Connection:
    """What the driver's connection is for the code that is simulated."""

    timeout = 200.0
    database = "defaultdb"
    inherited = False

    def __init__(self, server, world):
        self._server, self._world = server, world
        self._transaction = None
        self._failed = False

    @property
    def in_transaction(self):
        return self._transaction is not None

    def _call(self, work, *, inside=False):
        """Call the server; an answer that is lost ends the transaction."""
        if inside and self._transaction is not None and self._failed:
            raise OperationalError("the transaction is over, roll back")
        try:
            answer, lost = self._world.call(work)
        except Lost:
            self._failed = True
            raise OperationalError("the server can't be reached") from None
        except (IntegrityError, ConflictError, DataError, ProgrammingError):
            self._failed = self._failed or inside
            raise
        if lost:
            self._failed = True
            raise OperationalError("no answer: whether it was done is unknown")
        return answer

    def query(self, sql, parameters=()):
        return self._query(sql, parameters, self._transaction)

    def _query(self, sql, parameters, transaction):
        rows = self._call(
            lambda: self._server.query(sql, parameters, transaction),
            inside=transaction is not None,
        )
        return types.SimpleNamespace(rows=rows)

    def beside(self):
        return types.SimpleNamespace(
            query=lambda sql, parameters=(): self._query(sql, parameters, None)
        )

    def run(self, sql, parameters=(), *, commit=False):
        transaction = self._transaction
        if transaction is not None and not commit:
            self._call(
                lambda: self._server.run(sql, parameters, transaction), inside=True
            )
            return None

        def work():
            used = transaction or Transaction(self._server)
            count = self._server.run(sql, parameters, used)
            return types.SimpleNamespace(rows=count, tx=self._server.commit(used))

        if transaction is not None and self._failed:
            raise OperationalError("nothing was committed, roll back")
        self._transaction = None
        committed = self._call(work)
        return committed if transaction is None else None

    send = run

    def state(self):
        last = self._call(lambda: self._server.last)
        return types.SimpleNamespace(txId=last)

    def databases(self):
        most = self._call(lambda: self._server.most)
        return [types.SimpleNamespace(name=self.database, max_tx_entries=most)]

    def begin(self):
        assert self._transaction is None
        self._transaction = self._call(lambda: Transaction(self._server))
        self._failed = False

    def commit(self):
        transaction, failed = self._transaction, self._failed
        assert transaction is not None
        if failed:
            raise OperationalError("nothing was committed, roll back")
        self._transaction = None
        number = self._call(lambda: self._server.commit(transaction))
        return types.SimpleNamespace(tx=number)

    def rollback(self):
        if self._transaction is not None:
            self._transaction = None
            with contextlib.suppress(OperationalError):
                self._call(lambda: None)

    def close(self):
        self._transaction = None
