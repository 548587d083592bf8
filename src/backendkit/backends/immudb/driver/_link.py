"""A channel to the server, the session on it, and the thread that keeps it alive."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
import time
import weakref
from typing import Any

import grpc
from grpc import experimental

from backendkit import clock
from backendkit.stores import InterfaceError, OperationalError

from ._errors import CODE, text
from ._methods import CLOSE_SESSION, EMPTY, KEEP_ALIVE, OPEN_SESSION, Login, Method

Metadata = tuple[tuple[str, str], ...]

# How long a courtesy may take, in seconds: telling the server that we go.
FAREWELL = 2.0

# Seconds that a server needs to notice that nobody reads what it sends. immudb never
# closes the snapshot of a transaction that ends while it reads.
LINGER = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Where the server is and who we are; times in seconds, see ``connect``."""

    target: str
    database: str
    user: str
    password: str = dataclasses.field(repr=False)
    connect_timeout: float
    keepalive: float | None
    credentials: Any
    server_name: str | None


class Link:
    """A channel with a session, both of which can be renewed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid = os.getpid()
        self.broken = False
        self.metadata: Metadata = ()
        self.server_uuid = ""
        self.used = clock.monotonic()
        self._channel: Any = None
        self._farewell: Any = None
        self._callables: dict[Method, Any] = {}

    # Calls

    def callable(self, method: Method) -> Any:
        """Return gRPC's callable for a method on the channel of now."""
        made = self._callables.get(method)
        if made is None:
            make = self._channel.unary_stream if method.streams else None
            made = (make or self._channel.unary_unary)(
                f"/immudb.schema.ImmuService/{method.name}",
                request_serializer=method.request.SerializeToString,
                response_deserializer=(
                    None if method.response is None else method.response.FromString
                ),
            )
            self._callables[method] = made
        return made

    def call(
        self,
        method: Method,
        request: Any,
        timeout: float | None,
        more: Metadata = (),
        *,
        wait: bool = True,
    ) -> Any:
        """
        Call a method; return its answer, or an iterator of its answers.

        :param more: sent with the call, beside the session's id.
        :param wait: if not, gRPC's future of the answer is returned.
        :raises grpc.RpcError: it failed.
        """
        self.used = clock.monotonic()
        try:
            made = self.callable(method)
            return (made if wait else made.future)(
                request, timeout=timeout, metadata=self.metadata + more
            )
        except ValueError as error:
            # What grpcio says of a channel that another thread has closed.
            raise InterfaceError("the connection is closed") from error

    # Opening and closing

    def open(self, timeout: float | None = None) -> None:
        """
        Open a fresh channel and a session on it.

        :param timeout: seconds that it may take, if that is less than a connection may.
        :raises OperationalError: no server, TLS doesn't fit, wrong password, no such
            database, too many sessions.
        """
        # A fresh one tries at once: an old one may be waiting before its next try.
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            # Streams are read by the thread that wants them.
            (experimental.ChannelOptions.SingleThreadedUnaryStream, 1),
        ]
        settings = self.settings
        if settings.credentials is None:
            channel = grpc.insecure_channel(settings.target, options)
        else:
            if settings.server_name is not None:
                options.append(("grpc.ssl_target_name_override", settings.server_name))
            channel = grpc.secure_channel(
                settings.target, settings.credentials, options
            )
        self._channel, self._callables, self.metadata = channel, {}, ()
        self.broken = False
        try:
            self.open_session(timeout)
        except OperationalError:
            self._channel.close()
            self.broken = True
            raise

    def open_session(self, timeout: float | None = None) -> None:
        """Open another session on the channel that is there; see :meth:`open`."""
        settings = self.settings
        most = settings.connect_timeout
        if timeout is not None:
            most = min(most, timeout)
        request = Login(settings.user, settings.password, settings.database)
        self.metadata = ()
        try:
            answer = self.call(OPEN_SESSION, request, most)
        except grpc.RpcError as error:
            raise OperationalError(self._complaint(error, most)) from error
        self.metadata = (("sessionid", answer.sessionID),)
        self.server_uuid = answer.serverUUID
        if settings.keepalive is not None:
            keeper().watch(self)

    def _complaint(self, error: grpc.RpcError, timeout: float) -> str:
        where = f"immudb at {self.settings.target}"
        said = text(error)
        if error.code() is CODE.DEADLINE_EXCEEDED:
            return f"{where} didn't answer in {timeout:g} s"
        if said == "database does not exist":
            return (
                f"{where} has no database {self.settings.database!r}. Create it, for"
                " example with Connection.create_database() of the driver."
            )
        if error.code() is not CODE.UNAVAILABLE:
            return f"{where}: {said}"
        if self.settings.credentials is None:
            hint = "Does it run on this port, without TLS?"
        else:
            hint = "Does it run on this port, and does its certificate fit?"
        return f"unable to connect to {where}. {hint} {said}"

    def renew(self, timeout: float | None = None) -> None:
        """
        Replace the channel and the session.

        The old session is closed, if the server still has it: its transactions
        would hold snapshots, of which a database has few.

        :raises OperationalError: as :meth:`open`.
        """
        old = self.metadata
        self._channel.close()
        self.open(timeout)
        if old:
            # Nobody waits for it, but gRPC cancels a call that nobody holds.
            self._farewell = self.callable(CLOSE_SESSION).future(
                EMPTY, timeout=FAREWELL, metadata=old
            )

    def keep_alive(self) -> None:
        """Tell the server that we are still there, if it has heard nothing for long."""
        interval = self.settings.keepalive
        if interval is None or clock.monotonic() - self.used < interval:
            return
        # Whatever it is, the next call will meet it and knows what to do.
        with calling, contextlib.suppress(grpc.RpcError, InterfaceError):
            self.call(KEEP_ALIVE, EMPTY, self.settings.connect_timeout)

    def close(self) -> None:
        """Close the session, with its transactions, and the channel with its calls."""
        keeper().forget(self)
        if self.pid != os.getpid():
            # It is the parent's. What gRPC would do with it here may never end.
            abandoned.append(self._channel)
            return
        if self.metadata:
            with contextlib.suppress(grpc.RpcError, InterfaceError):
                self.call(CLOSE_SESSION, EMPTY, FAREWELL)
        self._channel.close()


# Held by our own threads while they call. A fork waits for it: a child that is made
# while any thread is in a call can't use gRPC.
calling = threading.Lock()


@functools.cache
def prepare_forks() -> None:
    """Let forks wait for our own threads."""
    os.register_at_fork(
        before=calling.acquire,
        after_in_parent=calling.release,
        after_in_child=calling.release,
    )


# Channels of the parent process, kept from being destroyed.
abandoned: list[Any] = []


def abandon(link: Link) -> None:
    """Close the link of a connection that was dropped without being closed."""

    def later() -> None:
        time.sleep(LINGER)
        with calling:
            link.close()

    try:
        # Not here: the garbage collector may have interrupted gRPC itself.
        threading.Thread(target=later, name="immudb-close", daemon=True).start()
    except RuntimeError:
        # Python is ending and starts no more threads.
        link.close()


class Keeper:
    """
    One thread for all links of the process: it looks after those that are silent.

    It starts with the first link and ends with the last.
    """

    def __init__(self) -> None:
        # The garbage collector may close a link while this thread holds it.
        self._lock = threading.RLock()
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._changed = threading.Event()

    def watch(self, link: Link) -> None:
        """Look after a link from now on."""
        with self._lock:
            self._links.add(link)
            if self._thread is None:
                prepare_forks()
                self._thread = threading.Thread(
                    target=self._run, name="immudb-keepalive", daemon=True
                )
                self._thread.start()
        self._changed.set()

    def forget(self, link: Link) -> None:
        """Look after it no more."""
        with self._lock:
            self._links.discard(link)
        self._changed.set()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._changed.clear()
                links = list(self._links)
                if not links:
                    self._thread = None
                    return
            intervals = [link.settings.keepalive or 0 for link in links]
            for link in links:
                link.keep_alive()
            del links, link
            # So that none is silent for much longer than its interval.
            self._changed.wait(min(intervals) / 4)


# By process: a forked one has no thread, and a lock that may be held for ever.
KEEPERS: dict[int, Keeper] = {}


def keeper() -> Keeper:
    """Return the keeper of this process."""
    return KEEPERS.setdefault(os.getpid(), Keeper())
