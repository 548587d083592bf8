"""Rows for the models, and all that a database has."""

import datetime
import decimal
import json
import tempfile
import uuid

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import models, transaction

NOON = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, datetime.UTC)
HOSTILE = [
    {"text": "", "number": decimal.Decimal("0.000001"), "real": 5e-324, "data": {}},
    {
        "text": 'it\'s "quoted" %s {} \\ \n\r\t \u2028 \U0001f600 ß',
        "number": decimal.Decimal("-99999999.999999"),
        "real": -1.7976931348623157e308,
        "flag": False,
        "data": {"b": [1, 1.5, None, "ü", {"a": True}], "": -0.5, "null": "null"},
        "binary": bytes(range(256)),
        "day": datetime.date.min,
        "moment": NOON,
        "time": datetime.time(23, 59, 59, 999999),
        "length": -datetime.timedelta(days=3, microseconds=1),
        "big": 2**63 - 1,
        "key": uuid.UUID(int=2**128 - 1),
        "file": "files/é.txt",
        "address": "2001:db8::1",
    },
    {"text": "null", "data": models.Value(None, models.JSONField()), "binary": b""},
    {"big": -(2**63), "data": "null", "day": datetime.date.max, "address": "10.0.0.1"},
    {"data": [], "moment": datetime.datetime(1000, 1, 2, tzinfo=datetime.UTC)},
    {},
]


def save(alias, model, **values):
    row = model(**values)
    models.Model.save_base(row, raw=True, force_insert=True, using=alias)
    return row


def fill(alias, people):
    """Write rows that refer to each other in cycles, in no order of their keys."""
    from . import models as m

    with transaction.atomic(using=alias):
        teams = [
            uuid.UUID(int=(7919 * n) << 96 | n) for n in range(max(people // 7, 2))
        ]
        for n in range(people):
            save(
                alias,
                m.Person,
                # Each refers to one whose key is higher, the last to the first.
                id=n * 3 + 5,
                name=f"person {n}",
                boss_id=None if n % 5 == 4 else (n + 1) % people * 3 + 5,
                team_id=teams[n % len(teams)],
                changed=NOON + datetime.timedelta(microseconds=n),
            )
        for n, key in enumerate(teams):
            team = save(alias, m.Team, id=key, head_id=n % people * 3 + 5)
            if n:
                team.friends.add(teams[n - 1])
            save(alias, m.Part, team_id=key, moment=NOON, amount=n)
            save(
                alias,
                m.Part,
                team_id=key,
                moment=NOON.replace(year=1000, day=1),
                amount=-n,
            )
        for code in ["b", "B", "a b", "ä", "", "Z'"]:
            place = save(alias, m.Place, code=code)
            place.staff.add(5, 8)
            save(alias, m.Shop, place_ptr_id=code, sells=code * 3)
        save(alias, m.Kiosk, shop_ptr_id="B", window_id="ä")
        for n, values in enumerate(HOSTILE):
            save(alias, m.Value, id=2**40 - n if n % 2 else n + 1, **values)
        # Content types have other numbers than those that migrate gives.
        kind = ContentType.objects.using(alias).get(app_label="moving", model="place")
        Permission.objects.using(alias).filter(content_type=kind).delete()
        kind.delete()
        kind = ContentType(id=9001, app_label="moving", model="place")
        kind.save(using=alias, force_insert=True)
        right = Permission(id=777, name="x", content_type=kind, codename="x")
        right.save(using=alias, force_insert=True)
        group = Group(name="all")
        group.save(using=alias)
        group.permissions.add(right)
        save(alias, m.Note, kind_id=9001, about="b")


def count(alias):
    """Return how many rows are in all tables."""
    from django.apps import apps

    from backendkit.move.rows import Table

    return sum(
        Table(model).count(alias)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
    )


def dump(alias):
    """Return all rows, as Django's serializer writes them, in an order of their own."""
    with tempfile.TemporaryFile("w+") as out:
        call_command(
            "dumpdata",
            database=alias,
            format="jsonl",
            exclude=["moving.View"],  # it has no table
            use_base_manager=True,
            stdout=out,
        )
        out.seek(0)
        # Databases differ in the order of texts, and of the keys of a JSON object.
        return sorted(json.dumps(json.loads(line), sort_keys=True) for line in out)
