"""``dates()`` and ``datetimes()``: the periods in which there are rows."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.backends.sqlite3._functions import (
    _sqlite_date_trunc,
    _sqlite_datetime_trunc,
)
from django.db.models import DateField, DateTimeField, functions
from django.db.models.expressions import Col
from django.db.models.sql import Query

from backendkit.clock import real
from backendkit.engine.parameters import InexactError
from backendkit.engine.periods import UnsureError
from backendkit.engine.values import TO_SQLITE
from backendkit.stores import ValueType

from .shapes import Found, Unknown, base_alias, plain, where_shape

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Only Django's own classes: a subclass may mean something else.
_TRUNCATIONS = frozenset(
    {
        functions.Trunc,
        functions.TruncDay,
        functions.TruncHour,
        functions.TruncMinute,
        functions.TruncMonth,
        functions.TruncQuarter,
        functions.TruncSecond,
        functions.TruncWeek,
        functions.TruncYear,
    }
)
#: What is made of a value, by the type of what becomes of it.
_TRUNCATE: Mapping[type, Callable[..., str]] = {
    DateTimeField: _sqlite_datetime_trunc,
    DateField: _sqlite_date_trunc,
}
_STORED: Mapping[str, ValueType] = {
    "DateTimeField": ValueType.DATETIME,
    "DateField": ValueType.DATE,
}
_MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "year": 12}
_LENGTHS: Mapping[str, datetime.timedelta] = {
    "week": datetime.timedelta(weeks=1),
    "day": datetime.timedelta(days=1),
    "hour": datetime.timedelta(hours=1),
    "minute": datetime.timedelta(minutes=1),
    "second": datetime.timedelta(seconds=1),
}
_UTC = ZoneInfo("UTC")


def truncation(query: Query) -> Any:
    """Return the truncation of a column that is all that a query selects, or None."""
    annotations = query.annotation_select
    if len(annotations) != 1:
        return None
    (found,) = annotations.values()
    return found if found.__class__ in _TRUNCATIONS else None


def shape_of_periods(query: Query) -> tuple[Any, Found]:
    """
    Return what tells queries for periods apart; as :func:`.shapes.shape_of_rows`.

    :raises Unknown: SQLite has to be asked.
    """
    table = base_alias(query)
    plain(query)
    if (
        query.group_by is not None
        or not query.distinct
        or query.distinct_fields
        or query.select
        or query.default_cols
        or query.select_related
    ):
        raise Unknown
    ((name, found),) = query.annotation_select.items()
    if query.order_by not in ((name,), (f"-{name}",)):
        raise Unknown
    column, output = found.lhs, found.output_field.__class__
    if (
        column.__class__ is not Col
        or column.alias != table
        or column.output_field is not column.target
        or column.target.get_internal_type() not in _STORED
        or output not in _TRUNCATE
        or found.kind not in {*_MONTHS, *_LENGTHS}
    ):
        raise Unknown
    shape: list[Any] = ["periods", id(query.model), query.order_by == (name,)]
    shape += id(column.target), output, found.kind, _zone_name(found)
    lookups: Found = []
    where_shape(query.where, table, shape, lookups)
    return tuple(shape), lookups


def _zone_name(found: Any) -> str | None:
    """Return the name of the time zone that moments are seen in; None for none."""
    if found.lhs.target.get_internal_type() != "DateTimeField":
        return None
    name: str | None = found.get_tzname()
    return name if settings.USE_TZ else None


def stored_type(found: Any) -> ValueType:
    """Return the type that the column of a truncation has in a store."""
    return _STORED[found.lhs.target.get_internal_type()]


def period_functions(
    found: Any, connection: BaseDatabaseWrapper
) -> tuple[Callable[[Any], str], Callable[[Any], Any]]:
    """
    Return the functions of :class:`~backendkit.engine.periods.Periods`.

    :param found: the truncation.
    :raises Unknown: SQLite has to be asked.
    """
    kind, zone_name = found.kind, _zone_name(found)
    own_name = connection.timezone_name if zone_name else None
    zone = None
    if zone_name != own_name:
        # Django takes what follows a sign for an offset.
        if own_name != "UTC" or not zone_name or {"+", "-"} & set(zone_name):
            raise Unknown
        zone = ZoneInfo(zone_name)
    truncate = _TRUNCATE[found.output_field.__class__]
    is_date = stored_type(found) is ValueType.DATE
    to_text = TO_SQLITE[stored_type(found)]

    def shown(value: Any) -> str:
        try:
            return truncate(kind, to_text(value), zone_name, own_name)
        except (OverflowError, ValueError) as error:
            raise InexactError from error

    def first(value: Any) -> Any:
        begin = real.datetime.fromisoformat(shown(value))
        if is_date:
            return begin.date()
        if zone is None:
            return begin
        end = _following(begin, kind)
        if end is not None:
            _moment(end, zone)  # the period ends once
        return _moment(begin, zone)

    return shown, first


def _following(first: datetime.datetime, kind: str) -> datetime.datetime | None:
    """Return when the next period begins; None: it is beyond the year 9999."""
    try:
        if kind in _LENGTHS:
            return first + _LENGTHS[kind]
        months = first.year * 12 + first.month - 1 + _MONTHS[kind]
        return first.replace(year=months // 12, month=months % 12 + 1)
    except (OverflowError, ValueError):
        return None


def _moment(local: datetime.datetime, zone: ZoneInfo) -> datetime.datetime:
    """
    Return the moment from which on clocks of a zone show a time, or a later one.

    :return: in UTC, without a zone.
    :raises UnsureError: they are put back over it; or forward, and it isn't the first
        time that they don't show; or it is too early.
    """
    before, after = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    try:
        moment = before.astimezone(_UTC)
        if before.utcoffset() != after.utcoffset():
            last = moment - datetime.timedelta(microseconds=1)
            earlier, later = (
                one.astimezone(zone).replace(tzinfo=None) for one in (last, moment)
            )
            if not earlier < local < later:
                raise UnsureError
    except OverflowError as error:
        raise UnsureError from error
    return moment.replace(tzinfo=None)
