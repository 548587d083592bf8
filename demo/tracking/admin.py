"""All of it can be edited."""

from django.conf import settings
from django.contrib import admin
from django.db.models import Count

from .models import (
    Dependency,
    Distribution,
    File,
    Licence,
    Person,
    Scan,
    Sighting,
)

if settings.DEMO_ENGINE == "immudb":
    # History pages are the ledger's.
    from backendkit.backends.immudb.admin import LedgerAdmin as ModelAdmin
else:
    from django.contrib.admin import ModelAdmin

admin.site.site_header = "Software bill of materials"
admin.site.site_title = "tracking"


class DependencyInline(admin.TabularInline):
    model = Dependency
    fk_name = "source"
    autocomplete_fields = ["target"]
    extra = 0


class SightingInline(admin.TabularInline):
    model = Sighting
    autocomplete_fields = ["distribution"]
    extra = 0
    show_change_link = True

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("distribution", "scan")


class LicenceInline(admin.TabularInline):
    model = Licence
    extra = 0
    verbose_name_plural = "licences of this category"


@admin.register(Distribution)
class DistributionAdmin(ModelAdmin):
    list_display = [
        "name",
        "version",
        "licence",
        "size",
        "review",
        "risk",
    ]
    list_filter = [
        "review",
        ("licence__parent", admin.RelatedOnlyFieldListFilter),
        "installed_on",
    ]
    list_select_related = ["licence"]
    list_per_page = 50
    search_fields = ["name", "summary"]
    date_hierarchy = "installed_on"
    autocomplete_fields = ["licence"]
    filter_horizontal = ["authors"]
    readonly_fields = ["bom_ref", "file_count", "size"]
    inlines = [DependencyInline]
    actions = ["reopen"]
    fieldsets = [
        (
            None,
            {"fields": ["name", "slug", "version", "summary", "licence", "authors"]},
        ),
        ("Review", {"fields": ["review", "reviewed_on", "risk"]}),
        (
            "Packaging",
            {
                "classes": ["collapse"],
                "fields": [
                    "bom_ref",
                    "home_page",
                    "requires_python",
                    "installed_on",
                    "file_count",
                    "size",
                    "metadata",
                ],
            },
        ),
    ]

    @admin.action(description="Open the review again")
    def reopen(self, request, queryset):
        count = queryset.update(review=Distribution.Review.OPEN, reviewed_on=None)
        self.message_user(request, f"{count} opened again.")


@admin.register(Licence)
class LicenceAdmin(ModelAdmin):
    list_display = ["name", "parent", "distribution_count"]
    list_filter = [("parent", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["parent"]
    search_fields = ["name"]
    inlines = [LicenceInline]

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .annotate(distribution_count=Count("distributions"))
        )

    @admin.display(ordering="distribution_count", description="distributions")
    def distribution_count(self, licence):
        return licence.distribution_count


@admin.register(Person)
class PersonAdmin(ModelAdmin):
    list_display = ["name", "email", "distribution_count"]
    list_display_links = ["name", "email"]
    search_fields = ["name", "email"]

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .annotate(distribution_count=Count("distributions"))
        )

    @admin.display(ordering="distribution_count", description="distributions")
    def distribution_count(self, person):
        return person.distribution_count


@admin.register(Dependency)
class DependencyAdmin(ModelAdmin):
    list_display = ["source", "target", "specifier", "extra"]
    list_select_related = ["source", "target"]
    search_fields = ["source__name", "target__name"]
    autocomplete_fields = ["source", "target"]
    list_filter = [("extra", admin.EmptyFieldListFilter)]


@admin.register(File)
class FileAdmin(ModelAdmin):
    list_display = ["path", "distribution", "kind", "size"]
    list_filter = ["kind", ("sha256", admin.EmptyFieldListFilter)]
    list_select_related = ["distribution"]
    search_fields = ["path", "distribution__name"]
    autocomplete_fields = ["distribution"]


@admin.register(Scan)
class ScanAdmin(ModelAdmin):
    list_display = ["started", "python", "environment", "seconds", "distribution_count"]
    list_filter = ["python"]
    date_hierarchy = "started"
    search_fields = ["environment", "python"]
    readonly_fields = ["uuid"]
    inlines = [SightingInline]

    def get_queryset(self, request):
        return (
            super()
            .get_queryset(request)
            .annotate(distribution_count=Count("sightings"))
        )

    @admin.display(ordering="distribution_count", description="distributions")
    def distribution_count(self, scan):
        return scan.distribution_count
