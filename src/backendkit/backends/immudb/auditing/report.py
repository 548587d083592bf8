"""What an audit tells: for people, for programs, and as a page to print."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

from django.template import Context, Engine

from backendkit.backends.immudb.driver._proofs import State

from .comparing import Compared, Difference

_TEMPLATES = Path(__file__).parents[1] / "templates" / "backendkit" / "immudb"

_ALWAYS = (
    "Whether the values were right when they were written.",
    "Whether the server gives other clients the same answers as this one.",
    "Whether the server had more transactions than it told this client of.",
    "What the server answers by other indexes than primary keys.",
)


@dataclasses.dataclass(frozen=True)
class Signer:
    """
    Who signed the state.

    :param key: SHA-256 of the server's public key (its DER form), in hexadecimal; None
        if the server doesn't sign.
    :param checked: whether the signatures were checked with a key that is configured.
    """

    key: str | None
    checked: bool

    def __str__(self) -> str:
        if self.key is None:
            return "No server key: the server doesn't sign its states."
        if self.checked:
            return f"Signed, and checked with the key {self.key}."
        return (
            f"Signed with the key {self.key}, which wasn't checked: the option"
            " public_key isn't set."
        )


@dataclasses.dataclass
class Report:
    """
    An audit that is done.

    :param alias: of the database in ``DATABASES``.
    :param database: the name under which the client remembers its state.
    :param time: when the audit began, in UTC.
    :param known: the state that was verified before; None at first contact.
    :param since: the state of the checkpoint that it went on from; None without.
    :param state: the last transaction that is proven, with the hash of the history up to
        it; None if none is.
    :param walked: how many transactions were proven now.
    :param others: how many entries of all transactions are no rows of tables.
    :param omitted: names of the tables that weren't compared.
    :param unlisted: whether the list of tables couldn't be compared.
    """

    alias: str
    database: str
    time: datetime.datetime
    known: tuple[int, bytes] | None
    since: State | None
    signer: Signer = Signer(None, checked=False)
    state: State | None = None
    walked: int = 0
    others: int = 0
    tables: list[Compared] = dataclasses.field(default_factory=list)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    omitted: list[str] = dataclasses.field(default_factory=list)
    unlisted: bool = False

    @property
    def rows(self) -> int:
        """How many rows were compared."""
        return sum(one.rows for one in self.tables)

    @property
    def more(self) -> int:
        """How many differences are counted, but not named."""
        return sum(one.count - len(one.differences) for one in self.tables)

    @property
    def unsettled(self) -> list[str]:
        """What can't be told, because it changed each time that it was looked at."""
        found = [f"the rows of {one.name}" for one in self.tables if one.unsettled]
        return [*found, "the list of tables"] if self.unlisted else found

    def unproven(self) -> list[str]:
        """Return what isn't proven, and why, as sentences."""
        found = []
        if any(one.kind == "history" for one in self.differences):
            found.append(
                "Nothing behind the transaction that isn't proven, and no row that wasn't"
                " compared before it was found."
            )
        if self.known is None and self.since is None:
            found.append(
                "What the database was like before this audit: no state of it was known,"
                " so its present history was trusted."
            )
        if self.omitted:
            found.append(
                f"The rows of tables that weren't compared: {', '.join(self.omitted)}."
            )
        found += [
            f"Rows of {one.name} behind the one that the server can't read."
            for one in self.tables
            if one.unread
        ]
        found += [
            f"{counted(one.too_deep, 'row')} of {one.name}, with JSON that is nested too"
            " deeply to be compared."
            for one in self.tables
            if one.too_deep
        ]
        if self.unsettled:
            found.append(
                f"What changed each time that it was read: {', '.join(self.unsettled)}."
            )
        if self.others:
            found.append(
                f"What the server answers for {counted(self.others, 'entry')} that"
                " aren't rows of tables, such as keys and values of other clients. Their"
                " transactions are proven."
            )
        return [*found, *_ALWAYS]

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        differences = [_document(one) for one in self.differences]
        return {
            "database": self.alias,
            "server": self.database,
            "time": self.time.isoformat(timespec="seconds"),
            "state": _state(self.state),
            "known_state": _state(self.known and State(*self.known)),
            "checkpoint": _state(self.since),
            "transactions_proven": self.walked,
            "signature": {"key": self.signer.key, "checked": self.signer.checked},
            "tables": [
                {
                    "table": one.name,
                    "rows": one.rows,
                    "as_of": one.as_of,
                    "differences": one.count,
                }
                for one in self.tables
            ],
            "differences": differences,
            "differences_not_named": self.more,
            "broken": differences[0] if differences else None,
            "not_proven": self.unproven(),
        }

    def json(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.document(), indent=2)

    def html(self) -> str:
        """Return it as a page that needs nothing else."""
        engine = Engine(dirs=[str(_TEMPLATES)])
        differences = [
            {
                "table": one.table,
                "key": ", ".join(map(str, map(_plain, one.primary_key or ()))),
                "tx": one.tx,
                "problem": one.problem,
            }
            for one in self.differences
        ]
        state = self.state
        context = {
            "report": self,
            "differences": differences,
            "time": self.time.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "tx": None if state is None else state.tx,
            "hash": None if state is None else state.hash.hex(),
            "known": self.known and State(*self.known),
            "rows": counted(self.rows, "row"),
            "tables": counted(len(self.tables), "table"),
            "walked": counted(self.walked, "transaction"),
            "unproven": self.unproven(),
        }
        template = engine.get_template("audit.html")
        return template.render(Context(context, use_l10n=False))


def _state(state: State | None) -> dict[str, Any] | None:
    return None if state is None else {"tx": state.tx, "hash": state.hash.hex()}


def _document(one: Difference) -> dict[str, Any]:
    key = one.primary_key
    return {
        "kind": one.kind,
        "table": one.table,
        "primary_key": None if key is None else list(map(_plain, key)),
        "transaction": one.tx,
        "problem": one.problem,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def counted(number: int, what: str) -> str:
    """Return a number of things, such as ``1 row`` or ``2,000 entries``."""
    if number != 1:
        what = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{number:,} {what}"
