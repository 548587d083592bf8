"""``AddIndex`` on a big table: readers go on, and its memory stays within bounds."""

import json
import os
import time

import pytest
from tests.effort import effort
from tests.nonrel.databases import settings_of
from tests.nonrel.projects import Project

ROWS = effort(test=200_000, soak=1_000_000)

MODELS = """
    from django.db import models

    class Thing(models.Model):
        code = models.CharField(max_length=40)
        number = models.IntegerField()
"""

FILL = """
    from shop.models import Thing
    for start in range(0, {rows}, 10_000):
        Thing.objects.bulk_create(
            Thing(code=f"code {{n % 1000}}", number=n)
            for n in range(start, start + 10_000)
        )
"""

READER = """
    import time
    from django.db import transaction
    from shop.models import Thing
    print("ready", flush=True)
    last = time.monotonic()
    while True:
        with transaction.atomic():
            assert Thing.objects.get(pk=77).number == 76
            assert Thing.objects.count() == {rows}
        now = time.monotonic()
        print(now, now - last, flush=True)
        last = now
        time.sleep(0.005)
"""

BUILD = """
    import json, os, time
    from django.db import connection, models
    from shop.models import Thing

    def resident(key="VmRSS"):
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(key):
                    return int(line.split()[1]) // 1024

    Thing.objects.get(pk=1)
    before = resident()
    started = time.monotonic()
    with connection.schema_editor() as editor:
        editor.add_index(Thing, models.Index(fields=["code", "number"], name="both"))
    ended = time.monotonic()
    size = os.path.getsize(os.path.join(connection.settings_dict["NAME"], "data.mdb"))
    found = Thing.objects.filter(code="code 7").order_by("number")[:3]
    assert [thing.number for thing in found] == [7, 1007, 2007]
    assert "both" in found.explain(), found.explain()
    print(json.dumps({
        "started": started, "ended": ended, "before": before,
        "most": resident("VmHWM"), "size": size >> 20,
    }))
"""


@pytest.mark.check
def test_readers_go_on_while_an_index_is_built(tmp_path):
    """They read all along; the builder needs memory for the index alone."""
    database = settings_of("lmdb", tmp_path)
    project = Project(tmp_path / "project", database)
    project.write("shop/models.py", MODELS)
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    project.script(FILL.format(rows=ROWS))
    size = os.path.getsize(tmp_path / "lmdb.db" / "data.mdb") >> 20
    reader = project.start_script(READER.format(rows=ROWS))
    try:
        assert reader.stdout.readline() == "ready\n", reader.stderr.read()
        time.sleep(0.2)
        figures = json.loads(project.script(BUILD))
    finally:
        reader.kill()
        output, _ = reader.communicate()
    reads = [tuple(map(float, line.split())) for line in output.splitlines()[:-1]]
    during = [
        pause for at, pause in reads if figures["started"] < at < figures["ended"]
    ]
    seconds = figures["ended"] - figures["started"]
    built = figures["size"] - size
    print(  # noqa: T201  # the figures, for pytest -s
        f"\n{ROWS} rows, index built in {seconds:.1f} s, {len(during)} reads meanwhile,"
        f" longest {max(during):.3f} s; memory {figures['before']} MiB before,"
        f" {figures['most']} MiB at most; file {size} MiB, the index {built} MiB"
    )
    # Not once did a reader wait for the builder.
    assert max(during) < seconds / 2
    assert len(during) > 10
    # LMDB keeps the pages of a transaction in memory, up to 512 MiB of them.
    assert figures["most"] - figures["before"] < 50 + 1.5 * built
