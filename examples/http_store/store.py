import http.client
import json
import time
from contextlib import closing
from dataclasses import replace
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from backendkit import stores
from backendkit.stores import MATCHED, DataError, OperationalError, row_from_json

CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


# What Retry-After says: a number of seconds, or a date.
def seconds(header):
    if header.isdecimal():
        return int(header)
    return max(parsedate_to_datetime(header).timestamp() - time.time(), 0)


class HttpStore(stores.Store):
    capabilities = replace(MATCHED, transactions=False, snapshots=False, remote=True)
    driver_errors = dict.fromkeys((KeyError, TypeError, ValueError), DataError)

    def __init__(self, url, token, timeout):
        self.url, self.timeout = url, timeout
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        tables = map(stores.Table.from_json, self.call("GET"))
        self.catalog = stores.Catalog(url, {table.name: table for table in tables})

    def session(self):
        return HttpSession(self)

    # What the service answers; None if it has no such row.
    @stores.safe_call
    def call(self, method, *path, body=None, query=""):
        where = self.url.path + "".join(f"/{quote(one, safe='')}" for one in path)
        deadline = time.monotonic() + self.timeout
        while True:
            made = CONNECTIONS[self.url.scheme](self.url.netloc, timeout=self.timeout)
            try:
                with closing(made) as connection:
                    connection.request(method, where + query, body, self.headers)
                    answer = connection.getresponse()
                    status, headers = answer.status, answer.headers
                    found = answer.read()
            except (OSError, http.client.HTTPException) as error:
                status, found, headers = 0, repr(error), {}
            if status in {200, 201}:
                return json.loads(found)
            if status == 404 and len(path) > 1:
                return None
            if status == 409:
                columns = tuple(json.loads(found)["unique"])
                raise stores.UniqueViolation(path[0], columns)
            # What isn't refused may have been done: only reading is safe to repeat.
            again = status == 429 or (method == "GET" and (not status or status >= 500))
            wait = seconds(headers.get("Retry-After", "1"))
            if not again or time.monotonic() + wait > deadline:
                raise OperationalError(f"{method} {where}: {status} {found!r:.99}")
            time.sleep(wait)

    @stores.safe_call
    def pages(self, table):
        after = ""
        while after is not None:
            page = self.call("GET", table.name, query=f"?after={quote(after, safe='')}")
            yield from (row_from_json(table, one) for one in page["rows"])
            if page["next"] == after:
                raise DataError(f"{table.name}: a page is followed by itself")
            after = page["next"]


class HttpSession(stores.DirectSession):
    def _catalog(self):
        return self.store.catalog

    def query(self, table, columns, access):
        return HttpQuery(self, table, columns, access)

    def row(self, method, table, key, body=None):
        self.require(write=method != "GET")
        where = stores.key_to_text(table, table.primary_key, key)
        return self.store.call(method, table.name, where, body=body)

    def get(self, table, key):
        found = self.row("GET", table, key)
        return None if found is None else row_from_json(table, found)

    def insert(self, table, rows):
        self.require(write=True)
        body = json.dumps([stores.row_to_json(table, row) for row in rows])
        found = self.store.call("POST", table.name, body=body)
        return [table.key_of(row_from_json(table, row)) for row in found]

    def update(self, table, key, row):
        self.row("PUT", table, key, json.dumps(stores.row_to_json(table, row)))

    def delete(self, table, keys):
        found = [self.row("DELETE", table, key) for key in keys]
        return len(found) - found.count(None)


class HttpQuery(stores.MatchedQuery):
    most_keys = 5  # each of them is a request

    def rows(self, index, keys):
        if index or keys is None:
            return self.session.store.pages(self.table)
        return filter(None, (self.session.get(self.table, one) for one in {*keys}))
