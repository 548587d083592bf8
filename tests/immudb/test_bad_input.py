"""What is wrong is a clear exception of Django's, and changes nothing."""

import datetime
import subprocess
import sys
from decimal import Decimal

import pytest

from backendkit.stores import InterfaceError
from tests.nonrel.databases import complete, default, run
from tests.nonrel.models import model

pytest.importorskip("grpc", reason="needs the extra immudb")

#: See the fixture ``_lent``.
LENDS = True


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"PORT": "http"}, r"\['PORT'\] has to be a port, .* not 'http'"),
            ({"PORT": 0}, r"\['PORT'\] has to be a port, from 1 to 65,535, not 0"),
            ({"PORT": 65_536}, r"\['PORT'\] has to be a port"),
            ({"PORT": -1}, r"\['PORT'\] has to be a port"),
            ({"PORT": 33.22}, r"\['PORT'\] has to be a port"),
            ({"PORT": "٣٣٢٢"}, r"\['PORT'\] has to be a port"),
            ({"HOST": 5}, r"\['HOST'\] has to be a text"),
            ({"HOST": "a\0b"}, r"\['HOST'\] has to be a text"),
            ({"USER": b"immudb"}, r"\['USER'\] has to be a text"),
            ({"PASSWORD": 5432}, r"\['PASSWORD'\] has to be a text\."),
            ({"PASSWORD": "\ud800"}, r"\['PASSWORD'\] has to be a text\."),
        ],
        ids=repr,
    )
    def test_wrong_ones(self, database, settings_of_database, changes, wanted):
        from django.core.exceptions import ImproperlyConfigured

        with pytest.raises(ImproperlyConfigured, match=wanted) as caught:
            use({**settings_of_database, **changes})
        assert "settings.DATABASES['default']" in str(caught.value)
        assert "5432" not in str(caught.value)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("timeout", "5"),
            ("timeout", 0),
            ("timeout", float("nan")),
            ("timeout", True),
            ("connect_timeout", None),
            ("connect_timeout", -1),
            ("keepalive", 0),
            ("keepalive", "often"),
            ("tls", "yes"),
            ("tls", 1),
            ("ca", 5),
            ("cert", b"cert.pem"),
            ("server_name", 5),
            ("identity", 5),
            ("max_tx_entries", 0),
            ("max_tx_entries", "many"),
        ],
    )
    def test_wrong_options(self, database, settings_of_database, option, value):
        from django.core.exceptions import ImproperlyConfigured

        wanted = rf"\['OPTIONS'\]\['{option}'\] has to be .*, not"
        with pytest.raises(ImproperlyConfigured, match=wanted):
            use({**settings_of_database, "OPTIONS": {option: value}})

    def test_unknown_options(self, database, settings_of_database):
        """They are named, and so are those that are known."""
        from django.core.exceptions import ImproperlyConfigured

        wrong = {"time_out": 5, "sslmode": "require"}
        with pytest.raises(
            ImproperlyConfigured, match=r"options: sslmode, time_out\..* timeout, tls"
        ):
            use({**settings_of_database, "OPTIONS": wrong})

    def test_files_that_are_not_there(self, database, settings_of_database):
        from django.db import InterfaceError

        for options in (
            {"ca": "/no/such/ca.pem"},
            {"cert": "/no/such/cert.pem", "key": "/no/such/key.pem"},
        ):
            with pytest.raises(InterfaceError, match=r"/no/such/.* can't be read"):
                use({**settings_of_database, "OPTIONS": options})
        with pytest.raises(InterfaceError, match="cert and key are needed together"):
            use({**settings_of_database, "OPTIONS": {"cert": "/no/such/cert.pem"}})

    def test_a_database_that_is_not_there_says_how_to_make_it(
        self, database, settings_of_database
    ):
        from django.db import OperationalError

        with pytest.raises(
            OperationalError, match=r"no database 'nowhere'\. .*create_database"
        ):
            use({**settings_of_database, "NAME": "nowhere"})

    def test_the_driver_says_so_too(self, arguments):
        from backendkit.backends.immudb import driver

        with pytest.raises(InterfaceError, match="keepalive has to be a number of sec"):
            driver.connect(**arguments, keepalive=0)
        with pytest.raises(InterfaceError, match=r"password has to be a text$"):
            driver.connect(**{**arguments, "password": 12345})

    def test_it_needs_the_extra(self, tmp_path, settings_of_database):
        """Without grpcio the error says what to install."""
        (tmp_path / "grpc.py").write_text(
            "raise ModuleNotFoundError('grpc', name='grpc')"
        )
        program = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "from django.conf import settings\n"
            f"settings.configure(DATABASES={{'default': {settings_of_database!r}}})\n"
            "from django.db import connection\n"
            "connection.ensure_connection()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert "django-backendkit[immudb]" in done.stderr


def use(settings):
    """Open a database and use it."""
    with default(complete(settings)):
        run("SELECT 1")


@pytest.fixture
def thing(database):
    from django.db import models

    made = model(
        integer=models.IntegerField(null=True),
        big=models.BigIntegerField(null=True),
        decimal=models.DecimalField(max_digits=5, decimal_places=2, null=True),
        span=models.DurationField(null=True),
        short=models.CharField(max_length=10, null=True, unique=True),
        long=models.CharField(max_length=300, null=True, unique=True),
        text=models.TextField(null=True),
    )
    database.create(made)
    made.objects.create(integer=1, decimal="1.5", short="s", long="l")
    return made


#: What doesn't fit, and what is said of it.
WRONG = [
    ({"integer": 2**63}, "64 bits"),
    ({"integer": -(2**70)}, "64 bits"),
    ({"big": 2**64}, "64 bits"),
    ({"span": datetime.timedelta.max}, "64 bits"),
    (
        {"decimal": Decimal(1000)},
        r"thing\.decimal: 1000 .* takes 3 before the decimal point and 2",
    ),
    ({"decimal": Decimal("999.995")}, "too many digits"),
    ({"decimal": Decimal("-1E+30")}, "too many digits"),
    ({"short": "x" * 41}, r"thing\.short: the value has 41 characters, but at most 10"),
    ({"long": "ä" * 500}, "500 characters, but at most 300"),
    ({"long": "😀" * 300}, r"1,200 bytes, but at most 994 .* index a digest"),
    ({"text": "\ud800"}, "surrogate"),
]


class TestValues:
    @pytest.mark.parametrize(
        ("values", "wanted"), WRONG, ids=lambda one: repr(one)[:40]
    )
    def test_what_does_not_fit(self, thing, values, wanted):
        """However it comes; and the transaction around it goes on."""
        from django.db import DataError, transaction

        before = list(thing.objects.values())
        good = thing(integer=2)

        def save():
            one = thing.objects.get()
            for name, value in values.items():
                setattr(one, name, value)
            one.save()

        def keyed():
            thing.objects.update_or_create(integer=1, defaults=values)

        for write in (
            lambda: thing.objects.create(**values),
            lambda: thing.objects.bulk_create([good, thing(**values)]),
            lambda: thing.objects.update(**values),
            save,
            keyed,
        ):
            with pytest.raises(DataError, match=wanted):
                write()
            assert list(thing.objects.values()) == before
            with transaction.atomic():
                thing.objects.update(integer=5)
                with pytest.raises(DataError, match=wanted), transaction.atomic():
                    write()
                thing.objects.update(integer=1)
            assert list(thing.objects.values()) == before

    def test_what_an_expression_makes(self, thing):
        from django.db import DataError, models

        thing.objects.update(big=2**63 - 1, decimal="999.99")
        before = list(thing.objects.values())
        for name, wanted in (("big", "64 bits"), ("decimal", "too many digits")):
            with pytest.raises(DataError, match=wanted):
                thing.objects.update(**{name: models.F(name) + 1})
        with pytest.raises(DataError, match="64 bits"):
            run("UPDATE nonrel_thing SET big = 99999999999999999999")
        assert list(thing.objects.values()) == before

    def test_what_fits_exactly(self, thing):
        thing.objects.update(
            integer=-(2**63),
            big=2**63 - 1,
            decimal=Decimal("-999.99"),
            short="😀" * 10,
            long="ä" * 300,
        )
        one = thing.objects.get(short="😀" * 10, long="ä" * 300)
        assert one.decimal == Decimal("-999.99")
        # As they are read by others: rounded.
        thing.objects.update(decimal=Decimal("99.999"))
        assert thing.objects.get().decimal == Decimal("100.00")

    def test_nothing_is_too_long_to_look_for(self, thing):
        assert not thing.objects.filter(long="x" * 5_000).exists()
        assert not thing.objects.filter(short__in=["x" * 5_000, "y"]).exists()
        assert thing.objects.filter(long__lt="x" * 5_000).exists()
        assert not thing.objects.filter(integer=2**70).exists()

    def test_a_row_of_more_than_a_message_takes(self, thing):
        from django.db import DataError

        with pytest.raises(DataError, match="--max-recv-msg-size"):
            thing.objects.update(text="x" * 34_000_000)
        assert thing.objects.filter(text=None).exists()


class TestManyRows:
    """A database has 1,024 entries for a transaction, if nothing else was said."""

    def test_more_than_the_database_takes(self, thing):
        """Whatever writes them, a transaction may be larger."""
        from django.db import transaction

        objects = thing.objects
        objects.bulk_create([thing(integer=n) for n in range(1200)])
        assert objects.count() == 1201
        # Django's own batches are one transaction.
        objects.bulk_create([thing() for _ in range(1100)], batch_size=100)
        assert objects.update(text="t") == objects.filter(text="t").count() == 2301
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            objects.all().delete()
            assert not objects.exists()
            1 / 0  # noqa: B018  # fails
        run("UPDATE nonrel_thing SET text = 'u'")
        with transaction.atomic():
            for start in (0, 600):
                objects.filter(integer__gte=start, integer__lt=start + 600).update(
                    text="v"
                )
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                objects.update(text="w")
                1 / 0  # noqa: B018  # fails
        assert objects.filter(text="v").count() == 1201
        assert objects.filter(text="u").count() == 1100
        assert objects.all().delete()[0] == 2301
        assert not objects.exists()

    def test_large_values_in_many_rows(self, thing, monkeypatch):
        """A message has at most 32 MiB, and so has a row of the journal."""
        from backendkit.backends.immudb import session, shared

        monkeypatch.setattr(session, "SAFE_ENTRIES", 20)
        monkeypatch.setattr(shared.Shared, "limit", lambda self, connection: 20)
        sizes = [1_500_000] * 24 + [1, 30_000_000, 3] + [1] * 30
        thing.objects.bulk_create([thing(text="x" * size) for size in sizes])
        found = thing.objects.exclude(text=None).order_by("pk").values_list("text")
        assert [len(text) for (text,) in found.iterator(chunk_size=2)] == sizes

    def test_nobody_sees_a_copied_table_without_its_rows(self, thing):
        """It is made anew, and its rows come in parts."""
        import threading

        from django.db import connection, models

        thing.objects.bulk_create([thing() for _ in range(1_199)])
        seen, started, ended = [], threading.Event(), threading.Event()

        def read():
            try:
                while not ended.is_set():
                    seen.append(thing.objects.count())
                    started.set()
            except BaseException as error:
                seen.append(error)
                raise
            finally:
                started.set()
                connection.close()

        field = models.CharField(max_length=5, default="new", db_index=True)
        field.set_attributes_from_name("fresh")
        field.model = thing
        reader = threading.Thread(target=read)
        reader.start()
        assert started.wait(60)
        try:
            with connection.schema_editor() as editor:
                editor.add_field(thing, field)
        finally:
            ended.set()
            reader.join()
        assert set(seen) == {1_200}

    def test_in_parts(self, thing):
        """As the docs tell: each is a transaction of its own."""
        import itertools

        new = (thing(text=f"{n}") for n in range(1500))
        while part := list(itertools.islice(new, 500)):
            thing.objects.bulk_create(part)
        assert thing.objects.count() == 1501
        while keys := thing.objects.exclude(short="s").values_list("pk")[:1000]:
            thing.objects.filter(pk__in=[key for (key,) in keys]).delete()
        assert thing.objects.get().short == "s"
