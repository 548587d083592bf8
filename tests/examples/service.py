"""A small HTTP service: rows in pages, a rate limit, and failures when they are wanted."""

import contextlib
import json
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from backendkit.backends.memory.store import MemoryStore
from backendkit.stores import (
    Access,
    OperationalError,
    UniqueViolation,
    key_to_text,
    row_from_json,
    row_to_json,
)


class Service(ThreadingHTTPServer):
    """
    Listens on a free port of the loopback interface.

    :param page: rows of a page.
    """

    daemon_threads = True

    def __init__(self, page=7):
        super().__init__(("127.0.0.1", 0), Handler)
        self.store, self.page, self.token = MemoryStore(), page, ""
        #: Of each request, its method and its path.
        self.requests = []
        #: What happens to the next requests, first to last: a method of the handler.
        self.faults = []
        #: Requests of a second, None for any number; and when the last ones came.
        self.rate, self.times = None, []
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):
        pass  # a connection that a test has cut

    @contextlib.contextmanager
    def writing(self):
        """Give a session whose changes are committed together."""
        session = self.store.session()
        session.begin(write=True)
        try:
            yield session
            session.commit()
        finally:
            session.close()

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # an answer is one packet: the second one would wait for an ACK

    def handle_any(self):
        service = self.server
        service.requests.append((self.command, self.path))
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size).decode()
        if service.token and self.headers["Authorization"] != (
            f"Bearer {service.token}"
        ):
            self.answer(401, {"error": "no token"})
            return
        with service.lock:
            fault = service.faults.pop(0) if service.faults else None
            if fault is None and service.rate is not None:
                now = time.monotonic()
                service.times = [one for one in service.times if one > now - 1]
                if len(service.times) >= service.rate:
                    fault = Handler.too_many
                else:
                    service.times.append(now)
            if fault is None:
                self.answer(*self.work())
                return
        fault(self)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  # names of http.server

    def log_message(self, *_):
        pass

    def answer(self, status, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # Faults

    def too_many(self):
        self.answer(429, {"error": "too many requests"}, Retry_After="0")

    def too_many_until(self):
        """The same, until a moment."""
        self.answer(
            429, {"error": "too many requests"}, Retry_After=formatdate(usegmt=True)
        )

    def too_many_for_long(self):
        self.answer(429, {"error": "too many requests"}, Retry_After="3600")

    def broken(self):
        self.answer(500, {"error": "a fault"}, Retry_After="0")

    def cut(self):
        """The connection ends before anything is done."""
        self.close_connection = True

    def cut_after(self):
        """It ends when all is done, before the answer."""
        with self.server.lock:
            self.work()
        self.close_connection = True

    def truncated(self):
        """The answer ends in its middle."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"rows": [')
        self.close_connection = True

    def nonsense(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"<p>")

    # Work

    def work(self):
        url = urlsplit(self.path)
        path = [unquote(part) for part in url.path.split("/")[2:]]
        query = parse_qs(url.query, keep_blank_values=True)
        with self.server.writing() as session:
            tables = session.catalog().tables
            if not path:
                return 200, [table.to_json() for table in tables.values()]
            table = tables.get(path[0])
            if table is None:
                return 404, {"error": f"no table {path[0]}"}
            try:
                return self.work_on(session, table, path[1:], query)
            except UniqueViolation as error:
                return 409, {"unique": error.columns}
            except OperationalError as error:
                return 507, {"error": str(error)}

    def work_on(self, session, table, key, query):
        rows = {
            key_to_text(table, table.primary_key, table.key_of(row)): row
            for row in session.query(table, [*table.positions], Access()).fetch()
        }
        if self.command == "POST":
            body = [row_from_json(table, one) for one in json.loads(self.body)]
            mark = session.savepoint()
            try:
                keys = session.insert(table, body)
            except (UniqueViolation, OperationalError):
                session.rollback_to(mark)
                raise
            found = [session.get(table, one) for one in keys]
            return 201, [row_to_json(table, row) for row in found]
        if not key:
            (after,) = query["after"]
            later = [one for one in sorted(rows) if one > after]
            page = later[: self.server.page]
            more = page[-1] if len(later) > len(page) else None
            return 200, {
                "rows": [row_to_json(table, rows[one]) for one in page],
                "next": more,
            }
        row = rows.get(key[0])
        if row is None:
            return 404, {"error": "no row"}
        if self.command == "DELETE":
            session.delete(table, [table.key_of(row)])
        elif self.command == "PUT":
            row, old = row_from_json(table, self.body), row
            mark = session.savepoint()
            try:
                session.update(table, table.key_of(old), row)
            except UniqueViolation:
                session.rollback_to(mark)
                raise
        return 200, row_to_json(table, row)
