"""
Order-preserving encodings of values: ``encode(a) < encode(b)`` iff ``a < b``.

Every encoding delimits itself, so those of several columns can be concatenated
and order like the tuples of their values. The first byte is :data:`NULL` for
None and between 0x01 and 0xFE else; appending :data:`AFTER` to a key therefore
gives a bound behind all keys that begin with it.

The idea is that of FoundationDB's tuple layer
(https://github.com/apple/foundationdb/blob/main/design/tuple.md), without its
type codes: a column has one type.
"""

from __future__ import annotations

import datetime
import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from backendkit.clock import real
from backendkit.stores import ValueType

#: The encoding of None: less than that of any value.
NULL = b"\x00"
#: The least first byte of an encoded value that isn't None.
NOT_NULL = b"\x01"
#: Appended to a key: a bound behind all keys that begin with it.
AFTER = b"\xff"

Encoder = Callable[[Any], bytes]
#: Given bytes and an offset: the value, and the offset behind it.
Decoder = Callable[[bytes, int], tuple[Any, int]]

_ZERO = 0x80
#: Integers of up to this many bytes have their length in the first byte.
_SHORT = 8
_POSITIVE = [bytes((_ZERO + size,)) for size in range(_SHORT + 1)]
_NEGATIVE = [bytes((_ZERO - size,)) for size in range(_SHORT + 1)]
_LONG_POSITIVE = bytes((_ZERO + _SHORT + 1,))
_LONG_NEGATIVE = bytes((_ZERO - _SHORT - 1,))

_COMPLEMENT = bytes(255 - byte for byte in range(256))
_DAY = 86_400_000_000
_MICROSECOND = datetime.timedelta(microseconds=1)
_pack_double = struct.Struct(">d").pack
_unpack_double = struct.Struct(">d").unpack


def encode_int(value: int) -> bytes:
    """
    Encode an integer of any size; small ones are short.

    A length, counted up from 0x80 for positive and down for negative ones, and
    the bytes, of negative ones as their complement. Above 8 bytes the length
    follows in 4 bytes.
    """
    if value >= 0:
        size = (value.bit_length() + 7) >> 3
        if size <= _SHORT:
            return _POSITIVE[size] + value.to_bytes(size, "big")
        return _LONG_POSITIVE + size.to_bytes(4, "big") + value.to_bytes(size, "big")
    value = -value
    size = (value.bit_length() + 7) >> 3
    if size <= _SHORT:
        return _NEGATIVE[size] + ((1 << (size << 3)) - 1 - value).to_bytes(size, "big")
    long = size.to_bytes(4, "big") + value.to_bytes(size, "big")
    return _LONG_NEGATIVE + long.translate(_COMPLEMENT)


def decode_int(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Decode what :func:`encode_int` wrote, and return the offset behind it."""
    size = data[offset] - _ZERO
    offset += 1
    if 0 <= size <= _SHORT:
        end = offset + size
        return int.from_bytes(data[offset:end], "big"), end
    if -_SHORT <= size < 0:
        end = offset - size
        limit = (1 << (-size << 3)) - 1
        return int.from_bytes(data[offset:end], "big") - limit, end
    sizes = data[offset : offset + 4]
    offset += 4
    if size > 0:
        end = offset + int.from_bytes(sizes, "big")
        return int.from_bytes(data[offset:end], "big"), end
    end = offset + int.from_bytes(sizes.translate(_COMPLEMENT), "big")
    return -int.from_bytes(data[offset:end].translate(_COMPLEMENT), "big"), end


def _encode_bool(value: bool) -> bytes:
    return b"\x02" if value else b"\x01"


def _decode_bool(data: bytes, offset: int) -> tuple[bool, int]:
    return data[offset] == 2, offset + 1  # as written above


def _encode_float(value: float) -> bytes:
    """IEEE 754's bits order as the numbers do, but for the sign."""
    if value != value:  # noqa: PLR0124  # NaN
        raise ValueError("NaN has no order")
    packed = _pack_double(value + 0.0)  # -0.0 becomes 0.0
    if packed[0] & 0x80:
        return b"\x01" + packed.translate(_COMPLEMENT)
    return b"\x01" + bytes((packed[0] | 0x80,)) + packed[1:]


def _decode_float(data: bytes, offset: int) -> tuple[float, int]:
    end = offset + 9
    packed = data[offset + 1 : end]
    if packed[0] & 0x80:
        packed = bytes((packed[0] & 0x7F,)) + packed[1:]
    else:
        packed = packed.translate(_COMPLEMENT)
    return _unpack_double(packed)[0], end


def _encode_decimal(value: Decimal) -> bytes:
    """
    Sign, exponent of the first digit, digits in pairs as bytes 1 to 100, 0x00.

    All of it is complemented for negative numbers. Trailing zeros are dropped:
    1.0 and 1.00 are one value.
    """
    if not value.is_finite():
        raise ValueError(f"{value} has no order")
    if not value:
        return b"\x80"
    negative, digits, _ = value.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    first = len(text) - len(text.lstrip("0"))
    text = text[first:]
    if len(text) & 1:
        text += "0"
    pairs = bytes(int(text[at : at + 2]) + 1 for at in range(0, len(text), 2))
    magnitude = encode_int(value.adjusted()) + pairs + b"\x00"
    if negative:
        return b"\x40" + magnitude.translate(_COMPLEMENT)
    return b"\xc0" + magnitude


def _decode_decimal(data: bytes, offset: int) -> tuple[Decimal, int]:
    sign = data[offset]
    offset += 1
    if sign == 0x80:  # zero, as written above
        return Decimal(0), offset
    negative = sign == 0x40  # as written above
    if negative:
        # The exponent delimits itself in its complement, too.
        exponent, digits = decode_int(_complement_int(data, offset), 0)
        start = offset + digits
        end = data.index(b"\xff", start)
        pairs = data[start:end].translate(_COMPLEMENT)
    else:
        exponent, start = decode_int(data, offset)
        end = data.index(b"\x00", start)
        pairs = data[start:end]
    text = "".join(f"{pair - 1:02d}" for pair in pairs)
    if text[-1] == "0":
        text = text[:-1]
    whole = tuple(map(int, text))
    return Decimal((int(negative), whole, exponent - len(whole) + 1)), end + 1


def _complement_int(data: bytes, offset: int) -> bytes:
    # An exponent has at most 8 bytes (decimal.MAX_EMAX), and one for its length.
    return data[offset : offset + _SHORT + 1].translate(_COMPLEMENT)


def _encode_bytes(value: bytes) -> bytes:
    """0x00 ends the value; one inside of it is followed by 0xFF."""
    return b"\x01" + bytes(value).replace(b"\x00", b"\x00\xff") + b"\x00"


def _decode_bytes(data: bytes, offset: int) -> tuple[bytes, int]:
    offset += 1
    end = data.index(b"\x00", offset)
    while data[end + 1 : end + 2] == b"\xff":
        end = data.index(b"\x00", end + 2)
    return data[offset:end].replace(b"\x00\xff", b"\x00"), end + 1


def _encode_str(value: str) -> bytes:
    """UTF-8 orders as code points do."""
    encoded = value.encode()
    if b"\x00" in encoded:
        encoded = encoded.replace(b"\x00", b"\x00\xff")
    return b"\x01" + encoded + b"\x00"


def _decode_str(data: bytes, offset: int) -> tuple[str, int]:
    value, end = _decode_bytes(data, offset)
    return value.decode(), end


def _encode_date(value: datetime.date) -> bytes:
    return b"\x01" + value.toordinal().to_bytes(3, "big")


def _decode_date(data: bytes, offset: int) -> tuple[datetime.date, int]:
    end = offset + 4
    return real.date.fromordinal(int.from_bytes(data[offset + 1 : end])), end


def _micros(value: datetime.time | datetime.datetime) -> int:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * 1_000_000 + value.microsecond


def _encode_time(value: datetime.time) -> bytes:
    return b"\x01" + _micros(value).to_bytes(5, "big")


def _decode_time(data: bytes, offset: int) -> tuple[datetime.time, int]:
    end = offset + 6
    micros = int.from_bytes(data[offset + 1 : end])
    return (real.datetime.min + micros * _MICROSECOND).time(), end


def _encode_datetime(value: datetime.datetime) -> bytes:
    return b"\x01" + (value.toordinal() * _DAY + _micros(value)).to_bytes(8, "big")


def _decode_datetime(data: bytes, offset: int) -> tuple[datetime.datetime, int]:
    end = offset + 9
    day, micros = divmod(int.from_bytes(data[offset + 1 : end]), _DAY)
    midnight = real.datetime.fromordinal(day)
    return midnight + datetime.timedelta(microseconds=micros), end


def _encode_duration(value: datetime.timedelta) -> bytes:
    seconds = value.days * 86_400 + value.seconds
    return encode_int(seconds * 1_000_000 + value.microseconds)


def _decode_duration(data: bytes, offset: int) -> tuple[datetime.timedelta, int]:
    micros, end = decode_int(data, offset)
    days, micros = divmod(micros, _DAY)
    return datetime.timedelta(days, 0, micros), end


def _encode_uuid(value: uuid.UUID) -> bytes:
    return b"\x01" + value.bytes


def _decode_uuid(data: bytes, offset: int) -> tuple[uuid.UUID, int]:
    end = offset + 17
    return uuid.UUID(bytes=data[offset + 1 : end]), end


#: How values of a type are encoded; None isn't one of them.
ENCODERS: dict[ValueType, Encoder] = {
    ValueType.BOOL: _encode_bool,
    ValueType.INTEGER: encode_int,
    ValueType.FLOAT: _encode_float,
    ValueType.DECIMAL: _encode_decimal,
    ValueType.STRING: _encode_str,
    ValueType.BYTES: _encode_bytes,
    ValueType.DATE: _encode_date,
    ValueType.TIME: _encode_time,
    ValueType.DATETIME: _encode_datetime,
    ValueType.DURATION: _encode_duration,
    ValueType.UUID: _encode_uuid,
    ValueType.JSON: _encode_str,
    ValueType.ANY: _encode_str,
}

#: The most bytes that a value of a type has; None for any number.
SIZES: dict[ValueType, int | None] = {
    ValueType.BOOL: 1,
    ValueType.INTEGER: 9,
    ValueType.FLOAT: 9,
    ValueType.DECIMAL: None,
    ValueType.STRING: None,
    ValueType.BYTES: None,
    ValueType.DATE: 4,
    ValueType.TIME: 6,
    ValueType.DATETIME: 9,
    ValueType.DURATION: 14,
    ValueType.UUID: 17,
    ValueType.JSON: None,
    ValueType.ANY: None,
}

_DECODERS: dict[ValueType, Decoder] = {
    ValueType.BOOL: _decode_bool,
    ValueType.INTEGER: decode_int,
    ValueType.FLOAT: _decode_float,
    ValueType.DECIMAL: _decode_decimal,
    ValueType.STRING: _decode_str,
    ValueType.BYTES: _decode_bytes,
    ValueType.DATE: _decode_date,
    ValueType.TIME: _decode_time,
    ValueType.DATETIME: _decode_datetime,
    ValueType.DURATION: _decode_duration,
    ValueType.UUID: _decode_uuid,
    ValueType.JSON: _decode_str,
    ValueType.ANY: _decode_str,
}


def behind(key: bytes) -> bytes:
    """Return the least bytes that are greater than all that begin with a key."""
    key = key.rstrip(AFTER)
    return key[:-1] + bytes((key[-1] + 1,))


def encode(value_type: ValueType, value: Any) -> bytes:
    """
    Encode one value, or None.

    :raises ValueError: a NaN, or a string with surrogates.
    """
    return NULL if value is None else ENCODERS[value_type](value)


def encode_values(types: Sequence[ValueType], values: Iterable[Any]) -> bytes:
    """Encode a tuple of values: orders like the tuple does, None first."""
    return b"".join(map(encode, types, values))


def decode_values(
    types: Sequence[ValueType], data: bytes, offset: int = 0
) -> tuple[tuple[Any, ...], int]:
    """
    Decode what :func:`encode_values` wrote.

    :returns: the values, and the offset behind them. Decimals come without
        trailing zeros: equal to what was encoded.
    """
    values: list[Any] = []
    for value_type in types:
        if data[offset] == 0:
            values.append(None)
            offset += 1
        else:
            value, offset = _DECODERS[value_type](data, offset)
            values.append(value)
    return tuple(values), offset
