"""The demo's pages: a list, a distribution, the tree, the report."""

from django import forms
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, Sum
from django.db.models.functions import Coalesce
from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.views.generic import DetailView, ListView

from .models import Dependency, Distribution, File, Licence, Scan, Sighting
from .trees import Graph

FILES_SHOWN = 25


class FilterForm(forms.Form):
    """What the list can be narrowed down to, and its order."""

    ORDERS = {
        "name": ["slug", "version"],
        "size": ["-size", "slug"],
        "files": ["-file_count", "slug"],
        "dependents": ["-dependent_count", "slug"],
        "installed": ["-installed_on", "slug"],
    }

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=100,
        widget=forms.SearchInput(attrs={"placeholder": "name or summary"}),
    )
    licence = forms.ModelChoiceField(
        label="Licence",
        queryset=Licence.objects.all(),
        required=False,
        empty_label="any",
    )
    review = forms.ChoiceField(
        label="Review",
        choices=[("", "any"), *Distribution.Review.choices],
        required=False,
    )
    role = forms.ChoiceField(
        label="Role",
        choices=[
            ("", "any"),
            ("top", "needed by none"),
            ("needed", "needed by others"),
        ],
        required=False,
    )
    scan = forms.ModelChoiceField(
        label="Scan",
        queryset=Scan.objects.filter(finished__isnull=False),
        required=False,
        empty_label="all",
    )
    order = forms.ChoiceField(
        label="Order by",
        choices=[
            ("name", "name"),
            ("size", "size"),
            ("files", "files"),
            ("dependents", "needed by"),
            ("installed", "installed on"),
        ],
        required=False,
    )

    def filtered(self, distributions):
        """Return those that fit; an invalid field narrows nothing down."""
        self.full_clean()
        given = self.cleaned_data
        if given.get("q"):
            for word in given["q"].split():
                distributions = distributions.filter(
                    Q(name__icontains=word) | Q(summary__icontains=word)
                )
        if licence := given.get("licence"):
            distributions = distributions.filter(
                Q(licence=licence) | Q(licence__parent=licence)
            )
        if given.get("review"):
            distributions = distributions.filter(review=given["review"])
        if role := given.get("role"):
            needed = Exists(Dependency.objects.filter(target=OuterRef("pk")))
            distributions = distributions.filter(
                needed if role == "needed" else ~needed
            )
        if given.get("scan"):
            distributions = distributions.filter(
                Exists(
                    Sighting.objects.filter(
                        distribution=OuterRef("pk"), scan=given["scan"]
                    )
                )
            )
        return distributions.order_by(*self.ORDERS[given.get("order") or "name"])


class DistributionList(ListView):
    """All distributions, with search, filters and pages."""

    paginate_by = 25
    template_name = "tracking/list.html"
    context_object_name = "distributions"

    def get_queryset(self):
        self.form = FilterForm(self.request.GET, label_suffix="")
        return self.form.filtered(
            Distribution.objects.select_related("licence__parent")
            .annotate(dependent_count=Count("required_by"))
            .defer("metadata", "fingerprint")
        )

    def get_context_data(self, **kwargs):
        pages = self.request.GET.copy()
        pages.pop("page", None)
        context = super().get_context_data(**kwargs)
        return context | {
            "form": self.form,
            "filtered": any(value for key, value in pages.items() if key != "order"),
            "query": pages.urlencode(),
            "page_range": context["paginator"].get_elided_page_range(
                context["page_obj"].number, on_each_side=2, on_ends=1
            ),
            "scan": Scan.objects.filter(finished__isnull=False).first(),
        }


class DistributionDetail(DetailView):
    """One distribution: what it is, what it needs and what needs it."""

    template_name = "tracking/detail.html"
    context_object_name = "distribution"

    def get_object(self, queryset=None):
        return get_object_or_404(
            Distribution.objects.select_related("licence__parent").prefetch_related(
                "authors",
                Prefetch(
                    "required_by",
                    Dependency.objects.select_related("source").order_by(
                        "source__slug", "source__version", "extra"
                    ),
                ),
                Prefetch("scans", Scan.objects.order_by("started")),
            ),
            slug=self.kwargs["slug"],
            version=self.kwargs["version"],
        )

    def get_context_data(self, **kwargs):
        distribution = self.object
        extras = "extras" in self.request.GET
        return super().get_context_data(**kwargs) | {
            "root": Graph.load(extras=extras).tree(distribution.pk),
            "extras": extras,
            "versions": Distribution.objects.filter(slug=distribution.slug)
            .exclude(pk=distribution.pk)
            .only("name", "slug", "version"),
            "files": distribution.files.order_by("-size", "path")[:FILES_SHOWN],
            "kinds": named_kinds(distribution.files),
        }


def tree(request):
    """The whole forest: each distribution that none needs, with its dependencies."""
    extras = "extras" in request.GET
    graph = Graph.load(extras=extras)
    return render(
        request, "tracking/tree.html", {"roots": graph.forest(), "extras": extras}
    )


class ReportForm(forms.Form):
    """The two scans to compare."""

    older = forms.ModelChoiceField(
        queryset=Scan.objects.filter(finished__isnull=False), label="From"
    )
    newer = forms.ModelChoiceField(
        queryset=Scan.objects.filter(finished__isnull=False), label="To"
    )


def report(request):
    """Sums over one scan, and what changed since another."""
    scans = list(Scan.objects.filter(finished__isnull=False)[:2])
    if not scans:
        return render(request, "tracking/report.html", {"scan": None})
    newer, older = scans[0], scans[-1]
    if request.GET:
        form = ReportForm(request.GET)
        if not form.is_valid():
            raise Http404("There is no such scan.")
        newer, older = form.cleaned_data["newer"], form.cleaned_data["older"]
    form = ReportForm(initial={"newer": newer, "older": older}, label_suffix="")
    seen = Distribution.objects.filter(sightings__scan=newer)
    totals = seen.aggregate(
        distributions=Count("pk"),
        size=Coalesce(Sum("size"), 0),
        files=Sum("file_count"),
    )
    licences = (
        Licence.objects.filter(distributions__sightings__scan=newer)
        .values("name", category=Coalesce("parent__name", "name"))
        .annotate(count=Count("distributions"), size=Sum("distributions__size"))
        .order_by("-size", "name")
    )
    return render(
        request,
        "tracking/report.html",
        {
            "form": form,
            "scan": newer,
            "older": older,
            "totals": totals,
            "categories": by_category(licences),
            "kinds": named_kinds(
                File.objects.filter(distribution__sightings__scan=newer)
            ),
            "most_needed": seen.annotate(
                count=Count(
                    "required_by__source",
                    filter=Q(required_by__source__sightings__scan=newer),
                    distinct=True,
                )
            )
            .filter(count__gt=0)
            .order_by("-count", "slug")
            .only("name", "slug", "version", "summary")[:10],
            "largest": seen.order_by("-size").only(
                "name", "slug", "version", "size", "file_count"
            )[:10],
            "changes": changes(older, newer),
        },
    )


def by_category(licences):
    """Group rows of licences by category, the largest first."""
    categories = {}
    for row in licences:
        group = categories.setdefault(
            row["category"],
            {"name": row["category"], "count": 0, "size": 0, "licences": []},
        )
        group["count"] += row["count"]
        group["size"] += row["size"]
        group["licences"].append(row)
    return sorted(categories.values(), key=lambda group: -group["size"])


def named_kinds(files):
    """Count and add up files by kind."""
    rows = (
        files.values("kind")
        .annotate(count=Count("pk"), size=Coalesce(Sum("size"), 0))
        .order_by("-size")
    )
    return [row | {"name": File.Kind(row["kind"]).label} for row in rows]


def changes(older, newer):
    """
    Return what came, what went and what changed its version.

    :returns: a dict of three lists: ``added`` and ``removed`` distributions,
        and ``changed`` ones as tuples of slug, old and new versions.
    """
    before, after = (
        {
            (distribution.slug, distribution.version): distribution
            for distribution in Distribution.objects.filter(sightings__scan=scan).only(
                "name", "slug", "version", "size"
            )
        }
        for scan in (older, newer)
    )
    gone = [before[key] for key in sorted(before.keys() - after.keys())]
    come = [after[key] for key in sorted(after.keys() - before.keys())]
    both = {item.slug for item in gone} & {item.slug for item in come}
    return {
        "added": [item for item in come if item.slug not in both],
        "removed": [item for item in gone if item.slug not in both],
        "changed": [
            (
                slug,
                [item for item in gone if item.slug == slug],
                [item for item in come if item.slug == slug],
            )
            for slug in sorted(both)
        ],
    }
