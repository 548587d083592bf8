"""Large transactions on simulated time: any order of all clients' steps, and crashes."""

import inspect
import textwrap

import pytest

from backendkit.backends.immudb import commits, journal, session
from backendkit.backends.immudb.commits import Commit
from backendkit.backends.immudb.journal import Applying
from backendkit.backends.immudb.session import ImmudbSession
from backendkit.backends.immudb.shared import Shared
from backendkit.stores import Error
from tests.effort import examples, fixed, seed

from .simulation.clients import simulate

SCHEDULES = examples(test=100, check=1_000, soak=100_000)
#: In so many schedules each mutation has to be found, wherever they begin.
ENOUGH = 1_500


def seeds(count):
    first = 0 if fixed() else seed() << 20
    return range(first, first + count)


def test_every_schedule_has_a_serial_history():
    """And in the end the gate is open, and all that was committed is there, once."""
    for number in seeds(SCHEDULES):
        simulate(number)


#: What each mutation takes out of the code, and what it puts there instead.
MUTATIONS = {
    "nobody waits before the first part": (
        (journal, "finish", "time.sleep(PAUSE)", "pass"),
        # Which has imported it by name.
        (session, "finish", "time.sleep(PAUSE)", "pass"),
    ),
    "no look behind a slow read": (
        (ImmudbSession, "_whole", "if clock.monotonic() - looked < LEASE:", "if True:"),
    ),
    "a look behind a slow read that compares nothing": (
        (ImmudbSession, "_whole", "if self._generation == generation:", "if True:"),
    ),
    "a look is good from its end on": (
        (
            Shared,
            "_look",
            "self._note(gate, state, now)",
            "now = clock.monotonic(); self._note(gate, state, now)",
        ),
    ),
    "a transaction reads on behind a large one": (
        (ImmudbSession, "_look", "if self._has_read and not", "if False and not"),
    ),
    "a part doesn't read the gate": (
        (Applying, "_apply", "if read_gate(connection) != gate:", "if False:"),
    ),
    "progress isn't written": (
        (Applying, "_apply", "progress=done)", "progress=gate.progress)"),
    ),
    "the gate opens before the last part": (
        (Applying, "_apply", "ends = done >= total", "ends = done + 8 >= total"),
    ),
    "the journal goes before the gate opens": (
        (
            Applying,
            "run",
            "moved = self._apply",
            "self._tidy() if done + count >= total else None; moved = self._apply",
        ),
    ),
    "the gate is closed in a transaction that has read nothing": (
        (
            Commit,
            "run_definitions",
            "send_all(self._connection",
            (
                "self._connection.rollback(); self._connection.begin()"
                "; send_all(self._connection"
            ),
        ),
    ),
    "a large transaction is acknowledged before it is applied": (
        (ImmudbSession, "_commit_with_looks", "self._finish(named.journal)", "pass"),
    ),
    "a writer doesn't look at the gate": (
        (
            Commit,
            "run_at_once",
            "first = [require_open(self._schema.version)]",
            "first = []",
        ),
    ),
    "a writer looks at the gate before its transaction": (
        (
            Commit,
            "run_at_once",
            "first = [require_open(self._schema.version)]",
            ("first = []; gate = self._session.store.shared.watch(self._session.lent)"),
        ),
    ),
    "a writer writes through a closed gate": (
        (commits, "require_open", "GATE, 0)", "GATE, 2**62)"),
    ),
    "a large transaction doesn't read the gate in its transaction": (
        (
            ImmudbSession,
            "_commit_with_looks",
            "gate = read_gate(connection)",
            "gate = read_gate(connection.beside())",
        ),
    ),
    "a large transaction begins while another one is applied": (
        (ImmudbSession, "_commit_with_looks", "if gate.closed:", "if False:"),
    ),
    "a reader doesn't mind a closed gate": (
        (Shared, "_look", "if not gate.closed:", "if True:"),
    ),
    "the past is any moment": (
        (
            ImmudbSession,
            "until",
            "_, self._until = self.store.shared.schema(self.lent, age=0)",
            "self._until = self.lent.state().txId",
        ),
    ),
}


#: Where a mutation was found last that takes hundreds of schedules: tried first, so that
#: it takes one. Where the code has changed since, the others are looked through.
FOUND = {
    "a look behind a slow read that compares nothing": 461,
    "a look is good from its end on": 268,
    "the past is any moment": 857,
}


@pytest.mark.parametrize(
    "mutation",
    [
        pytest.param(one, marks=[pytest.mark.check] if one in FOUND else [])
        for one in MUTATIONS
    ],
)
def test_a_mutation_is_found(mutation, monkeypatch):
    """What the schedules find: without any of these, one of them fails."""
    for place, name, old, new in MUTATIONS[mutation]:
        monkeypatch.setattr(place, name, mutated(getattr(place, name), old, new))
    found = [FOUND[mutation]] if mutation in FOUND else []
    for number in (*found, *seeds(ENOUGH)):
        try:
            simulate(number)
        except (AssertionError, Error):
            return
    pytest.fail(f"{ENOUGH} schedules haven't found it")


def mutated(function, old, new):
    """Return a function with other text in one place."""
    text = textwrap.dedent(inspect.getsource(function))
    assert text.count(old) == 1, f"{old!r} isn't there once any more"
    code = compile(
        "from __future__ import annotations\n" + text.replace(old, new),
        inspect.getsourcefile(function),
        "exec",
    )
    made = {}
    exec(code, function.__globals__, made)  # the code is ours
    return made[function.__name__]
