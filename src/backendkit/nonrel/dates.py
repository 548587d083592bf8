"""``__date`` of a moment, as the range of moments that may be on that date."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import lookups
from django.db.models.expressions import Col
from django.db.models.functions import TruncDate
from django.utils import timezone

from backendkit.clock import real
from backendkit.engine.running import Filter
from backendkit.engine.tokens import unquote
from backendkit.stores import Precision, ValueType

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_HOUR, _DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
#: Hours around a date in which some zone of the world may have it: both the database's
#: and the user's are up to 14 hours away from UTC.
_AROUND = 30

#: Lookups of a date; which bounds they have; and whether the date itself is outside.
#: Only Django's own classes: a subclass may mean something else.
DATES: Mapping[type, tuple[bool, bool, bool]] = {
    lookups.Exact: (True, True, False),
    lookups.GreaterThan: (True, False, True),
    lookups.GreaterThanOrEqual: (True, False, False),
    lookups.LessThan: (False, True, True),
    lookups.LessThanOrEqual: (False, True, False),
    lookups.Range: (True, True, False),
}


def date_filters(
    lookup: Any, connection: BaseDatabaseWrapper
) -> tuple[str, list[Filter]]:
    """
    Return filters that hold for all moments of which a lookup of the date holds.

    :return: with the alias of their table; none if it is another lookup.
    """
    column = lookup.lhs
    if (
        column.__class__ is not TruncDate
        or column.lhs.__class__ is not Col
        or column.lhs.target.get_internal_type() != "DateTimeField"
        or lookup.bilateral_transforms
    ):
        return "", []
    wanted = lookup.rhs if isinstance(lookup, lookups.Range) else [lookup.rhs] * 2
    # A range of expressions is an expression.
    if not isinstance(wanted, list | tuple) or any(
        date.__class__ is not real.date for date in wanted
    ):
        return "", []
    column, tzinfo = column.lhs, column.tzinfo
    has_low, has_high, outside = DATES[type(lookup)]
    own = unquote(connection.ops.quote_name(column.target.column))
    capabilities = connection.store_class.capabilities
    filters = []
    try:
        if has_low:
            day = wanted[0] + _DAY if outside else wanted[0]
            low, _ = _moments(day, tzinfo, connection)
            filters.append(Filter(own, "gte", False, ValueType.DATETIME, low))
        if has_high:
            day = wanted[1] - _DAY if outside else wanted[1]
            _, high = _moments(day, tzinfo, connection)
            filters.append(Filter(own, "lt", False, ValueType.DATETIME, high))
    except (OverflowError, _AnyMomentError):
        return "", []
    if any(
        capabilities.precision(ValueType.DATETIME, one.lookup) is Precision.NONE
        for one in filters
    ):
        return "", []
    return column.alias, filters


class _AnyMomentError(Exception):
    """Which moments are on a date isn't known."""


def _moments(
    date: datetime.date, tzinfo: Any, connection: BaseDatabaseWrapper
) -> tuple[datetime.datetime, datetime.datetime]:
    """
    Return a moment before, or at, all those of a date, and one behind them.

    As they are stored, in the connection's time zone.
    """
    midnight = real.datetime(date.year, date.month, date.day)
    if not settings.USE_TZ:
        return midnight, midnight + _DAY
    zone = tzinfo or timezone.get_current_timezone()
    stored = connection.timezone
    if not all(
        isinstance(one, ZoneInfo) or one is datetime.UTC for one in (zone, stored)
    ):
        raise _AnyMomentError
    if "+" in str(zone) or "-" in str(zone):
        # Etc/GMT+12 and its like: on SQLite, Django takes the end for an offset from UTC.
        raise _AnyMomentError
    if str(zone) == str(stored):
        return midnight, midnight + _DAY
    # How far the zones are apart may change on that day; not twice within an hour.
    apart = []
    for hours in range(-_AROUND, _AROUND + 25):
        moment = midnight + hours * _HOUR
        there = moment.replace(tzinfo=stored).astimezone(zone).replace(tzinfo=None)
        apart.append(there - moment)
    return midnight - max(apart), midnight + _DAY - min(apart)
