"""What can't be moved is refused by name, and nothing is written."""

import contextlib

import pytest
from django.core.management import CommandError
from django.db import connections, models

from backendkit.move.planning import order
from backendkit.move.state import State

from .test_move import assert_moved, move


@pytest.fixture
def pair(database):
    """A source with a place, and a target without."""
    from .models import Place
    from .rows import save

    source, target = database("sqlite3"), database("sqlite3")
    save(source, Place, code="a")
    return source, target


def refused(source, target, *arguments, match, **options):
    with pytest.raises(CommandError, match=match):
        move(source, target, *arguments, **options)


def left_nothing(target):
    from django.contrib.contenttypes.models import ContentType

    from .models import Place

    return (
        not State(target).exists()
        and not Place.objects.using(target).exists()
        and ContentType.objects.using(target).exists()
    )


def test_arguments_that_make_no_sense(pair, database):
    source, target = pair
    refused(source, source, match="--from and --to are both")
    refused(source, "nowhere", match="DATABASES has no alias 'nowhere'")
    refused(source, target, "--batch", "0", match="--batch must be at least 1")
    refused(source, target, "nothing", match="No installed app with label 'nothing'")
    refused(source, target, "moving.View", match="no model to move.*isn't managed")
    connections.databases["twin"] = connections.databases[source]
    try:
        refused(source, "twin", match="are the same database")
    finally:
        del connections["twin"], connections.databases["twin"]
    assert left_nothing(target)


def test_a_target_without_tables(pair, database):
    source, _ = pair
    target = database("lmdb", tables=False)
    refused(source, target, match=rf"moving_person .*migrate --database {target}")
    assert connections[target].introspection.table_names() == []


def test_a_table_that_is_not_empty(pair):
    """Its name is told; ``--replace`` lets the source's rows take their place."""
    from .models import Place
    from .rows import save

    source, target = pair
    save(target, Place, code="there before")
    refused(
        source, target, match="already have rows: moving_place. Nothing was written"
    )
    assert not State(target).exists()
    refused(source, target, "--replace", "moving.Place", match="no terminal")
    move(source, target, "--replace", "moving.Place", "--noinput")
    assert [place.code for place in Place.objects.using(target)] == ["a"]


def test_rows_to_replace_that_others_refer_to(pair):
    from django.contrib.auth.models import Group, Permission

    source, target = pair
    group = Group.objects.using(target).create(name="x")
    Permission.objects.using(source).all().delete()
    group.permissions.add(Permission.objects.using(target).first())
    before = Permission.objects.using(target).count()
    refused(source, target, "auth.Permission", match="auth.Permission .*can't be repl")
    assert Permission.objects.using(target).count() == before
    assert left_nothing(target)


def test_labels_choose_and_exclude(pair):
    """The many-to-many tables of a model go with it."""
    from .models import Place

    source, target = pair
    output = move(source, target, "moving", "--exclude", "moving.Value")
    assert "moving.Place_staff" in output
    assert "moving.Value" not in output
    assert "auth." not in output
    assert Place.objects.using(target).count() == 1


def test_two_moves_at_once(pair):
    """The second is told who moves; whoever is displaced stops at its next batch."""
    source, target = pair
    first = State(target)
    first.acquire(take_over=False)
    refused(source, target, match="Another move .*process .*--take-over")
    first.begin({"source": source, "models": []})
    refused(source, target, "--restart", "--noinput", match="Another move .*is running")
    move(source, target, "--restart", "--noinput", "--take-over")
    assert_same_places(source, target)
    assert not first.exists()


def test_whoever_is_displaced_stops(pair):
    source, target = pair
    first, second = State(target), State(target)
    first.acquire(take_over=False)
    second.acquire(take_over=True)
    with pytest.raises(CommandError, match="Another process has taken over"):
        first.begin({})
    first.release()  # not its own any more
    second.begin({"source": source, "models": []})
    refused(source, target, "--resume", match="Another move .*is running")


def test_a_resumed_move_is_the_same_move(pair):
    source, target = pair
    state = State(target)
    state.acquire(take_over=False)
    state.begin({"source": source, "models": ["moving.Value"]})
    state.release()
    refused(source, target, "--resume", match="of other models .*: moving.Value")
    state.acquire(take_over=False)
    state.begin({"source": source, "models": [], "discarded": True})
    state.release()
    refused(source, target, "--resume", match="Finish with --restart")


def test_a_difference_is_named(pair, monkeypatch):
    """By table and key. Resumed, the move copies what came in behind."""
    from backendkit.move.rows import Table

    from .models import Place, Shop
    from .rows import save

    source, target = pair
    save(source, Shop, place_ptr_id="a", sells="bread")
    count = Table.count
    came = []

    def count_as_another_writes(table, alias):
        if table.label == "moving.Place" and alias == source:
            came.append(alias)
            if len(came) == 2:  # between the copy and the comparison
                save(source, Place, code="b")
        return count(table, alias)

    monkeypatch.setattr(Table, "count", count_as_another_writes)
    refused(source, target, match="moving.Place 'b' isn't in .*--resume")
    Place.objects.using(target).filter(pk="a").exists()
    Shop.objects.using(target).update(sells="stale bread")
    refused(source, target, "--resume", match="moving.Shop 'a': sells was 'bread'")
    save(target, Place, code="extra")
    Shop.objects.using(target).update(sells="bread")
    refused(source, target, "--resume", match="moving.Place 'extra' is in")
    Place.objects.using(target).filter(code="extra").delete()
    move(source, target, "--resume")
    assert_same_places(source, target)


def test_objects_are_compared_by_what_is_stored(pair):
    """Not by their text, which may be the same for all of them, or for none."""
    from .models import Safe

    source, target = pair
    Safe.objects.using(source).create(id=3, secret="a")
    move(source, target)
    Safe.objects.using(target).update(secret="b")
    state = State(target)
    state.acquire(take_over=False)
    state.begin({"source": source, "models": ["moving.Safe"]})
    state.reach("moving.Safe", '["3"]', 1)
    state.release()
    refused(source, target, "moving.Safe", "--resume", match="moving.Safe 3: secret")


def test_the_first_row_that_is_refused_is_named(pair):
    """By its key; no row of its batch is written, and none that was tried alone."""
    from .models import Safe

    source, target = pair
    Safe.objects.using(source).bulk_create(
        [Safe(id=n, secret=f"{n}") for n in range(1, 8)]
    )
    with connections[target].cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX odd ON moving_safe (secret % 5)")
    refused(source, target, "--batch", "4", match="moving.Safe 6 can't be written to")
    assert Safe.objects.using(target).count() == 4
    with connections[target].cursor() as cursor:
        cursor.execute("DROP INDEX odd")
    move(source, target, "--resume")
    assert_same_places(source, target)


def test_a_row_that_the_target_refuses_is_named(pair):
    """Those before it in other batches stay; the move goes on when it is mended."""
    from .models import Part, Person, Place, Team
    from .rows import NOON, save

    source, target = pair
    with connections[source].constraint_checks_disabled():
        save(source, Person, id=1, team_id="0" * 32, changed=NOON)
    refused(source, target, match="moving.Person, moving.Team can't be committed")
    Person.objects.using(source).all().delete()
    assert Place.objects.using(source).count() == 1
    assert not Team.objects.using(source).exists()
    assert not Part.objects.using(source).exists()
    move(source, target, "--restart", "--noinput")
    assert_same_places(source, target)


def assert_same_places(source, target):
    from .rows import dump

    assert dump(source) == dump(target)


def test_a_cycle_where_checks_can_only_be_deferred(pair, monkeypatch):
    """As on PostgreSQL: all tables of the cycle are one transaction."""
    from backendkit.move.copying import Copier

    from .rows import fill

    source, target = pair
    from .models import Place

    Place.objects.using(source).all().delete()
    fill(source, 8)
    monkeypatch.setattr(
        Copier,
        "_unchecked",
        lambda *_, **__: contextlib.nullcontext(enter_result=False),
    )
    move(source, target, "--batch", "4")
    assert_moved(source, target)


def test_the_order_follows_the_foreign_keys():
    from .models import MODELS, Person, Place, Shop, Team

    groups = order(reversed(MODELS))
    places = {model: at for at, group in enumerate(groups) for model in group.models}
    assert places[Person] == places[Team]
    assert groups[places[Person]].cyclic
    assert places[Place] < places[Shop]
    assert not groups[places[Shop]].cyclic
    for model in MODELS:
        for field in model._meta.local_fields:
            if isinstance(field, models.ForeignKey) and field.related_model in places:
                assert places[field.related_model] <= places[model]
