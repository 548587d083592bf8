"""Writes one scan to the database, in one transaction where it has room for it."""

import contextlib
import platform
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from .inventory import Installed
from .licences import CATEGORIES
from .models import (
    Dependency,
    Distribution,
    File,
    Licence,
    Person,
    Scan,
    Sighting,
)

#: Rows written by one statement.
BATCH = 1000

#: What a scan may change of a distribution that is known; reviews aren't its own.
TRACKED_FIELDS = [
    "name",
    "summary",
    "home_page",
    "requires_python",
    "licence",
    "metadata",
    "fingerprint",
    "file_count",
    "size",
    "installed_on",
]


def record(
    found: Sequence[Installed], advance: Callable[[int], None] = lambda count: None
) -> Scan:
    """
    Record what was found as a new scan.

    :param advance: called with the number of files dealt with.
    """
    started = timezone.now()
    clock = time.monotonic()
    # A transaction of immudb has a limit: there, each distribution's files have one.
    in_parts = settings.DEMO_ENGINE == "immudb"
    with contextlib.nullcontext() if in_parts else transaction.atomic():
        with transaction.atomic():
            scan, distributions, stale = _all_but_files(found, started)
            if in_parts:
                # The next scan writes the files of those that this one doesn't come to.
                unknown = Distribution.objects.filter(pk__in=stale)
                unknown.update(fingerprint=b"")
        for item in found:
            distribution = distributions[item.slug, item.version]
            if distribution.pk not in stale:
                advance(len(item.files))
                continue
            with transaction.atomic():
                _files(item, distribution, advance)
                if in_parts:
                    written = Distribution.objects.filter(pk=distribution.pk)
                    written.update(fingerprint=item.fingerprint)
        scan.finished = timezone.now()
        scan.seconds = Decimal(f"{time.monotonic() - clock:.3f}")
        scan.details |= {
            "distributions": len(found),
            "files": sum(len(item.files) for item in found),
            "rewritten": len(stale),
        }
        scan.save()
    return scan


def _all_but_files(found, started):
    """Return the scan, distributions by slug and version, and keys of changed ones."""
    # A scan that was killed left its row only if its transaction was kept.
    Scan.objects.filter(environment=sys.prefix, finished=None).delete()
    scan = Scan.objects.create(
        environment=sys.prefix,
        started=started,
        python=platform.python_version(),
        details={
            "implementation": platform.python_implementation(),
            "platform": platform.platform(),
            "machine": platform.machine(),
        },
    )
    licences = _licences(found)
    distributions, stale = _distributions(found, licences)
    _authors(found, distributions)
    _dependencies(found, distributions)
    Sighting.objects.bulk_create(
        [
            Sighting(
                scan=scan,
                distribution=distributions[item.slug, item.version],
                location=item.location[:500],
            )
            for item in found
        ],
        batch_size=BATCH,
    )
    return scan, distributions, stale


def _licences(found):
    """Return licences by name, with those that are new."""
    wanted = dict.fromkeys(CATEGORIES)
    for item in found:
        wanted.setdefault(item.licence, item.licence_category)
    Licence.objects.bulk_create(
        [Licence(name=name) for name in CATEGORIES], ignore_conflicts=True
    )
    known = {licence.name: licence for licence in Licence.objects.all()}
    Licence.objects.bulk_create(
        [
            Licence(name=name, parent=known[category])
            for name, category in wanted.items()
            if name not in known
        ]
    )
    return {licence.name: licence for licence in Licence.objects.all()}


def _distributions(found, licences):
    """Return distributions by slug and version, and the keys of changed ones."""
    known = {
        (distribution.slug, distribution.version): distribution
        for distribution in Distribution.objects.all()
    }
    new, changed, stale = [], [], set()
    for item in found:
        fields = {
            "name": item.name,
            "summary": item.summary,
            "home_page": item.home_page,
            "requires_python": item.requires_python[:100],
            "licence": licences[item.licence],
            "metadata": item.details,
            "fingerprint": item.fingerprint,
            "file_count": len(item.files),
            "size": item.size,
            "installed_on": item.installed_on,
        }
        distribution = known.get((item.slug, item.version))
        if distribution is None:
            # The same package URL gives the same reference on every machine.
            purl = f"pkg:pypi/{item.slug}@{item.version}"
            new.append(
                Distribution(
                    slug=item.slug,
                    version=item.version,
                    bom_ref=uuid.uuid5(uuid.NAMESPACE_URL, purl),
                    **fields,
                )
            )
            continue
        if bytes(distribution.fingerprint) != item.fingerprint:
            stale.add(distribution.pk)
        if any(getattr(distribution, name) != fields[name] for name in TRACKED_FIELDS):
            for name, value in fields.items():
                setattr(distribution, name, value)
            changed.append(distribution)
    Distribution.objects.bulk_create(new, batch_size=BATCH)
    Distribution.objects.bulk_update(changed, TRACKED_FIELDS, batch_size=100)
    for distribution in Distribution.objects.all():
        identity = (distribution.slug, distribution.version)
        if identity not in known:
            stale.add(distribution.pk)
        known[identity] = distribution
    return known, stale


def _authors(found, distributions):
    wanted = dict.fromkeys(person for item in found for person in item.authors)
    known = set(Person.objects.values_list("name", "email"))
    Person.objects.bulk_create(
        [
            Person(name=name, email=email)
            for name, email in wanted
            if (name, email) not in known
        ],
        batch_size=BATCH,
    )
    people = {(person.name, person.email): person.pk for person in Person.objects.all()}
    through = Distribution.authors.through
    through.objects.bulk_create(
        [
            through(
                distribution_id=distributions[item.slug, item.version].pk,
                person_id=people[person],
            )
            for item in found
            for person in item.authors
        ],
        batch_size=BATCH,
        ignore_conflicts=True,
    )


def _dependencies(found, distributions):
    """Replace the edges of all that was found."""
    nearby, anywhere = {}, {}
    for item in found:
        distribution = distributions[item.slug, item.version]
        nearby.setdefault((item.location, item.slug), distribution)
        anywhere.setdefault(item.slug, distribution)
    sources = [distributions[item.slug, item.version].pk for item in found]
    Dependency.objects.filter(source__in=sources).delete()
    edges = []
    for item in found:
        for needed in item.requirements:
            target = nearby.get((item.location, needed.slug)) or anywhere.get(
                needed.slug
            )
            if target is not None:
                edges.append(
                    Dependency(
                        source=distributions[item.slug, item.version],
                        target=target,
                        specifier=needed.specifier,
                        marker=needed.marker,
                        extra=needed.extra,
                    )
                )
    Dependency.objects.bulk_create(edges, batch_size=BATCH)


def _files(item, distribution, advance):
    """Replace the files of one distribution."""
    distribution.files.all().delete()
    for start in range(0, len(item.files), BATCH):
        batch = item.files[start : start + BATCH]
        File.objects.bulk_create(
            [
                File(
                    distribution=distribution,
                    path=file.path,
                    kind=file.kind,
                    size=file.size,
                    sha256=file.sha256,
                )
                for file in batch
            ]
        )
        advance(len(batch))
