"""What can go wrong while rows are moved."""

from __future__ import annotations

from django.core.management.base import CommandError
from django.db import Error

#: What a database, its driver or a field raises about a value or a row.
ROW_ERRORS = (Error, ValueError, TypeError, ArithmeticError)


class MoveError(CommandError):
    """The move can't begin, go on or end. The message says what to do."""
