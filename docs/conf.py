"""Sphinx's settings. ``make docs`` builds with every warning an error."""

from backendkit import __version__

project = "django-backendkit"
copyright = "the django-backendkit contributors"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx.ext.viewcode"]
# Nothing is fetched: references to others' documentation are plain text.
intersphinx_mapping = {}
exclude_patterns = ["_build"]
default_role = "any"
highlight_language = "python"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "show-inheritance": True}

# Names that other projects document.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(abc|collections|datetime|decimal|django|enum|os|pathlib|signal|typing|unittest|uuid)(\..*)?",
    ),
    (
        r"py:.*",
        (
            r"(Any|Callable|ClassVar|Exception|Hashable|Iterable|Iterator|Mapping"
            r"|Sequence|MappingProxyType|StrEnum|Enum|ABC|P|R|re\.search|str|int|bool"
            r"|bytes|tuple|ValueError|KeyError|[a-z_]*\.?ParamSpec.*)"
        ),
    ),
    # Two aliases: Sphinx shows what they stand for, but links their names.
    (r"py:.*", r"(backendkit\.stores\.)?(_session\.)?(Key|Row|Matcher)"),
    (r"py:.*", r"backendkit\.retry\.[PR]"),
    # Messages that protoc makes classes of.
    (r"py:.*", r"backendkit\.backends\.immudb\.driver\.immudb_pb2\..*"),
]

nitpick_ignore = [
    # The module's docstring names them without theirs.
    ("py:class", "Capabilities"),
    ("py:class", "StoreContract"),
    ("py:func", "matcher"),
    # The ledger's: Django's classes, and an int or a datetime.
    ("py:class", "Model"),
    ("py:class", "Moment"),
    ("py:class", "QuerySet"),
]

html_theme = "furo"
html_title = f"django-backendkit {version}"
html_show_sphinx = False
