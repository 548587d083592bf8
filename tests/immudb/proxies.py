"""What stands between a client and its server, and may lie."""

import re
import uuid
from concurrent import futures

import grpc

from backendkit.backends.immudb.driver import immudb_pb2 as pb
from backendkit.dbdev import ports

#: Methods that answer with rows.
QUERIES = ("SQLQuery", "UnarySQLQuery")


class Proxy(grpc.GenericRpcHandler):
    """
    A server that hands on every call, and may change the answers.

    :attr change: called with the method's name and an answer's bytes; returns bytes.
    :attr ask: called with the method's name and a request's bytes; returns those that
        the server is asked with.
    """

    def __init__(self, target):
        self.change = self.ask = None
        self.changed = 0
        any_size = ("grpc.max_receive_message_length", -1)
        self.target = grpc.insecure_channel(target, options=[any_size])
        # Two that share a port would share its clients.
        options = [("grpc.so_reuseport", 0)]
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=options)
        self.server.add_generic_rpc_handlers([self])
        port = ports.choose(uuid.uuid4().hex)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def close(self):
        self.server.stop(None).wait()
        self.target.close()

    def service(self, details):
        # One stream or one message: on the wire it is the same.
        call = self.target.stream_stream(details.method)
        name = details.method.rpartition("/")[2]

        def answer(requests, context):
            passed = [
                (key, value)
                for key, value in context.invocation_metadata()
                if not key.startswith(("grpc-", "user-agent", ":"))
            ]
            left = context.time_remaining()
            # No limit comes as one of centuries, which can't be set.
            timeout = left if left < 1e6 else None
            asked = (self.ask(name, one) if self.ask else one for one in requests)
            made = call(asked, timeout=timeout, metadata=passed)
            try:
                for message in made:
                    sent = self.change(name, message) if self.change else message
                    self.changed += sent != message
                    yield sent
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details())

        return grpc.stream_stream_rpc_method_handler(answer)

    def honest(self):
        """Hand on all as it is."""
        self.change = self.ask = None

    # Lies about rows. A row is the list of its encoded values.

    def edit_rows(self, table, edit):
        """
        Answer other rows of a table.

        :param edit: called with the rows of each answer; returns others.
        """

        def change(name, data):
            if name not in QUERIES:
                return data
            answer = pb.SQLQueryResult.FromString(data)
            names = [pb.Column.FromString(one).name for one in answer.columns]
            if not names or not names[0].startswith(f"({table}."):
                return data
            rows = [pb.Row.FromString(one).values[:] for one in answer.rows]
            rows = edit([[*row] for row in rows])
            del answer.rows[:]
            answer.rows.extend(pb.Row(values=row).SerializeToString() for row in rows)
            return answer.SerializeToString()

        self.change = change

    def leave_out(self, table, place):
        """Don't return a row."""
        self.edit_rows(table, lambda rows: rows[:place] + rows[place + 1 :])

    def put(self, table, place, row):
        """Return a row at the place of another one."""
        self.edit_rows(table, lambda rows: [*rows[:place], row, *rows[place + 1 :]])

    def add(self, table, place, row):
        """Return a row more."""
        self.edit_rows(table, lambda rows: [*rows[:place], row, *rows[place:]])

    def rows(self, table, act):
        """Return the rows of a table that are answered while something is done."""
        kept = []

        def keep(rows):
            kept.extend(rows)
            return rows

        self.edit_rows(table, keep)
        act()
        self.honest()
        return kept

    # Lies about more than rows.

    def hide(self, table):
        """Pretend that there is no such table."""

        def ask(name, data):
            if name not in QUERIES:
                return data
            request = pb.SQLQueryRequest.FromString(data)
            request.sql = request.sql.replace(f'"{table}"', '"no_such_table"')
            return request.SerializeToString()

        def change(name, data):
            if name not in QUERIES:
                return data
            answer = pb.SQLQueryResult.FromString(data)
            listed = pb.SQLValue(s=table).SerializeToString()
            kept = [
                one for one in answer.rows if pb.Row.FromString(one).values[0] != listed
            ]
            del answer.rows[:]
            answer.rows.extend(kept)
            return answer.SerializeToString()

        self.ask, self.change = ask, change

    def set_back(self, tx):
        """Answer queries as of a transaction of the past."""

        def ask(name, data):
            if name not in QUERIES:
                return data
            request = pb.SQLQueryRequest.FromString(data)
            request.sql = re.sub(r"UNTIL TX \d+", f"UNTIL TX {tx}", request.sql)
            return request.SerializeToString()

        self.ask = ask

    def pretend_last(self, state):
        """Answer an old state."""
        self.change = lambda name, data: (
            state.SerializeToString() if name == "CurrentState" else data
        )
