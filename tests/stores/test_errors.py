"""Errors, and the translation of a driver's."""

import pickle

import pytest

from backendkit.stores import (
    ConflictError,
    DatabaseError,
    IntegrityError,
    OperationalError,
    UniqueViolation,
    safe_call,
)


class Lost(Exception):
    pass


class LostForGood(Lost):
    pass


class Owner:
    driver_errors = {LostForGood: DatabaseError, Lost: OperationalError}

    @safe_call
    def call(self, error=None, *, result=None):
        if error is not None:
            raise error
        return result

    @safe_call
    def rows(self, *errors):
        yield 1
        for error in errors:
            raise error
        return "end"


@pytest.mark.parametrize("method", [Owner.call, lambda *args: list(Owner.rows(*args))])
def test_driver_errors_are_translated_once_with_their_cause(method):
    """The most specific class wins, and the driver's exception is the cause."""
    for error, ours in (
        (LostForGood("gone"), DatabaseError),
        (Lost("gone"), OperationalError),
    ):
        with pytest.raises(DatabaseError) as caught:
            method(Owner(), error)
        assert type(caught.value) is ours
        assert str(caught.value) == "gone"
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ConflictError("x"), KeyError("x"), GeneratorExit()])
@pytest.mark.parametrize("method", [Owner.call, lambda *args: list(Owner.rows(*args))])
def test_other_errors_pass(method, error):
    """The contract's errors pass as they are, and so do mistakes."""
    with pytest.raises(type(error)) as caught:
        method(Owner(), error)
    assert caught.value is error


def test_results_pass():
    """What the method returns or yields is returned or yielded."""
    assert Owner().call(result=5) == 5
    assert list(Owner().rows()) == [1]
    assert Owner.call.__name__ == "call"
    started = Owner().rows()
    assert next(started) == 1
    started.close()


def test_unique_violation_says_what_sqlite_says():
    """It names table and columns, in the message too, and can be pickled."""
    error = UniqueViolation("t", ("a", "b"))
    assert isinstance(error, IntegrityError)
    assert str(error) == "UNIQUE constraint failed: t.a, t.b"
    again = pickle.loads(pickle.dumps(error))
    assert (again.table, again.columns, str(again)) == ("t", ("a", "b"), str(error))
