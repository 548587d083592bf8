"""
The database that the guide's sample imagines: collections of documents.

It knows nothing of Django: it compares what is stored, and has neither joins nor
transactions. Documents are kept in this process's memory, as JSON.
"""

import json
import operator
import threading


class LowLevelError(Exception):
    """Whatever the database complains of."""


OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, choices: value in choices,
    "not in": lambda value, choices: value not in choices,
}


class Connection:
    """A connection. All of them to a host share its documents."""

    hosts = {}
    lock = threading.RLock()

    def __init__(self, host):
        self.collections = self.hosts.setdefault(host, {})
        #: What was asked, for tests.
        self.asked = []

    def documents(self, collection):
        with self.lock:
            return {**self.collections.get(collection, {})}


def connect(host, port, user, password):
    if user and password != "secret":
        raise LowLevelError("wrong password")
    return Connection(f"{host}:{port}")


def save_entity(connection, collection, data):
    """Store a document; give it a key if it has none. Returns the key."""
    connection.asked.append(("save", collection, data))
    document = json.loads(json.dumps(data))
    with connection.lock:
        documents = connection.collections.setdefault(collection, {})
        key = document.setdefault("_id", f"doc{len(documents)}")
        documents[json.dumps(key)] = document
    return key


class LowLevelQuery:
    """Filters, all of which have to hold, and an order."""

    def __init__(self, connection, collection):
        self.connection = connection
        self.collection = collection
        self.filters = []
        self.ordering = []

    def filter(self, column, op, value):
        if op not in OPERATORS:
            raise LowLevelError(f"no operator {op!r}")
        self.filters.append((column, op, value))

    def order(self, column, direction):
        self.ordering.append((column, direction))

    def matching(self, kind):
        self.connection.asked.append((kind, self.collection, tuple(self.filters)))
        documents = self.connection.documents(self.collection).values()
        found = [document for document in documents if self.matches(document)]
        for column, direction in reversed(self.ordering):
            found.sort(
                key=lambda one: (one[column] is not None, one[column]),
                reverse=direction == "DESC",
            )
        return found

    def matches(self, document):
        for column, op, value in self.filters:
            stored = document.get(column)
            if stored is None and op in {"<", "<=", ">", ">="}:
                return False
            if not OPERATORS[op](stored, value):
                return False
        return True

    def fetch_infinite(self, offset):
        return map(dict, self.matching("find")[offset:])

    def fetch_range(self, limit, offset):
        return map(dict, self.matching("find")[offset : offset + limit])

    def count(self):
        return len(self.matching("count"))

    def delete(self):
        gone = {json.dumps(document["_id"]) for document in self.matching("delete")}
        with self.connection.lock:
            documents = self.connection.collections.get(self.collection, {})
            for key in gone:
                documents.pop(key, None)
