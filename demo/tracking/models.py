"""What is installed, what it needs, under which licence, and when it was seen."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.urls import reverse


class Licence(models.Model):
    """A licence, or the category of some: those without a parent."""

    name = models.CharField(max_length=200, unique=True)
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        verbose_name="category",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(parent__isnull=True) | ~Q(parent=F("id")),
                name="licence_not_its_own_category",
                violation_error_message="A licence can't be its own category.",
            ),
        ]

    def __str__(self):
        return self.name


class Person(models.Model):
    """An author or maintainer. Many give only a name, some only an address."""

    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)

    class Meta:
        ordering = ["name", "email"]
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                "name",
                condition=~Q(email=""),
                name="person_unique_email",
                violation_error_message="This person exists already.",
            ),
            models.UniqueConstraint(
                fields=["name"], condition=Q(email=""), name="person_unique_name"
            ),
            models.CheckConstraint(
                condition=~Q(name="", email=""),
                name="person_has_name_or_email",
                violation_error_message="Give a name or an email address.",
            ),
        ]

    def __str__(self):
        return self.name or self.email


class Distribution(models.Model):
    """One version of an installable thing."""

    class Review(models.TextChoices):
        OPEN = "open", "open"
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"

    bom_ref = models.UUIDField("BOM reference", default=uuid.uuid4, unique=True)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=200, help_text="The normalised name.")
    version = models.CharField(max_length=100)
    summary = models.TextField(blank=True)
    home_page = models.URLField(max_length=500, blank=True)
    requires_python = models.CharField(max_length=100, blank=True)
    licence = models.ForeignKey(
        Licence, models.PROTECT, null=True, blank=True, related_name="distributions"
    )
    authors = models.ManyToManyField(Person, blank=True, related_name="distributions")
    dependencies = models.ManyToManyField(
        "self", through="Dependency", symmetrical=False, related_name="dependents"
    )
    metadata = models.JSONField(default=dict, blank=True)
    fingerprint = models.BinaryField(max_length=32, editable=False, default=b"")
    file_count = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField("size in bytes", default=0)
    installed_on = models.DateField(null=True, blank=True)
    review = models.CharField(max_length=10, choices=Review, default=Review.OPEN)
    reviewed_on = models.DateField(null=True, blank=True)
    risk = models.DecimalField(
        max_digits=3,
        decimal_places=1,
        null=True,
        blank=True,
        help_text="0.0 (none) to 10.0.",
    )

    class Meta:
        ordering = ["slug", "version"]
        indexes = [models.Index(fields=["size"], name="distribution_size")]
        constraints = [
            models.UniqueConstraint(
                fields=["slug", "version"], name="distribution_unique_version"
            ),
            models.UniqueConstraint(
                fields=["slug"],
                condition=Q(review="approved"),
                name="distribution_one_approved",
                violation_error_message="Another version of it is approved already.",
            ),
            models.CheckConstraint(
                condition=Q(review="open") | Q(reviewed_on__isnull=False),
                name="distribution_review_has_date",
                violation_error_message="A finished review needs its date.",
            ),
            models.CheckConstraint(
                condition=Q(risk__isnull=True) | Q(risk__gte=0, risk__lte=10),
                name="distribution_risk_range",
                violation_error_message="Risk goes from 0 to 10.",
            ),
        ]

    def __str__(self):
        return f"{self.name} {self.version}"

    def get_absolute_url(self):
        return reverse("distribution", args=[self.slug, self.version])


class Dependency(models.Model):
    """One installed distribution requires another."""

    source = models.ForeignKey(
        Distribution, models.CASCADE, related_name="requirements"
    )
    target = models.ForeignKey(Distribution, models.CASCADE, related_name="required_by")
    specifier = models.CharField(max_length=200, blank=True)
    marker = models.CharField(max_length=500, blank=True)
    extra = models.CharField(
        max_length=100, blank=True, help_text="The extra that asks for it."
    )

    class Meta:
        ordering = ["source", "target", "extra"]
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "target", "extra"], name="dependency_unique"
            ),
            models.CheckConstraint(
                condition=~Q(source=F("target")), name="dependency_not_on_itself"
            ),
        ]

    def __str__(self):
        return f"{self.source} needs {self.target}"


class File(models.Model):
    """A file of a distribution, from its RECORD."""

    class Kind(models.TextChoices):
        PYTHON = "python", "Python source"
        COMPILED = "compiled", "compiled"
        WEB = "web", "web"
        LOCALE = "locale", "translations"
        TEXT = "text", "text and data"
        METADATA = "metadata", "packaging"
        OTHER = "other", "other"

    distribution = models.ForeignKey(Distribution, models.CASCADE, related_name="files")
    path = models.CharField(max_length=1000)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.OTHER)
    size = models.PositiveBigIntegerField("size in bytes", null=True, blank=True)
    sha256 = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  # not every file has one

    class Meta:
        ordering = ["path"]
        constraints = [
            # No index of its own on the foreign key's column: this one serves.
            models.UniqueConstraint(
                fields=["distribution", "path"], name="file_unique_path"
            ),
        ]

    def __str__(self):
        return self.path


class Scan(models.Model):
    """One run of ``manage.py track``."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    environment = models.CharField(max_length=500, help_text="sys.prefix")
    started = models.DateTimeField()
    finished = models.DateTimeField(null=True, blank=True)
    seconds = models.DecimalField(max_digits=9, decimal_places=3, null=True, blank=True)
    python = models.CharField(max_length=100)
    details = models.JSONField(default=dict, blank=True)
    distributions = models.ManyToManyField(
        Distribution, through="Sighting", related_name="scans"
    )

    class Meta:
        ordering = ["-started", "-id"]
        get_latest_by = "started"
        constraints = [
            models.UniqueConstraint(
                fields=["environment"],
                condition=Q(finished__isnull=True),
                name="scan_one_unfinished",
            ),
            models.CheckConstraint(
                condition=Q(finished__isnull=True) | Q(finished__gte=F("started")),
                name="scan_ends_after_start",
            ),
        ]

    def __str__(self):
        return f"{self.started:%Y-%m-%d %H:%M:%S} (Python {self.python})"


class Sighting(models.Model):
    """A distribution was installed when a scan ran."""

    scan = models.ForeignKey(Scan, models.CASCADE, related_name="sightings")
    distribution = models.ForeignKey(
        Distribution, models.CASCADE, related_name="sightings"
    )
    location = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scan", "distribution"], name="sighting_unique"
            ),
        ]

    def __str__(self):
        return f"{self.distribution} in {self.scan}"
