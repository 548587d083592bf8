"""One name and one category for the many ways in which licences are stated."""

import re
from collections.abc import Sequence

PERMISSIVE = "Permissive"
WEAK_COPYLEFT = "Weak copyleft"
COPYLEFT = "Copyleft"
PUBLIC_DOMAIN = "Public domain"
OTHER = "Other"
UNKNOWN = "Unknown"
CATEGORIES = (PERMISSIVE, WEAK_COPYLEFT, COPYLEFT, PUBLIC_DOMAIN, OTHER, UNKNOWN)

#: What marks a category, tried in this order: "Lesser" before "GPL".
_MARKS = (
    (WEAK_COPYLEFT, r"\bL(esser )?GPL|lesser general public|\bMPL\b|mozilla|\bEPL\b"),
    (COPYLEFT, r"\bA?GPL|general public licen"),
    (PUBLIC_DOMAIN, r"public domain|unlicense|\bCC0|\b0BSD\b"),
    (
        PERMISSIVE,
        r"\bMIT\b|\bBSD\b|apache|\bPSF|python software foundation|\bISC\b|HPND|any-osi",
    ),
)

#: Names by which common licences are known, for those that their texts vary.
_NAMES = (
    (r"^apache([ -]?(software )?licen[sc]e)?,?( version)?[ -]?2(\.0)?$", "Apache-2.0"),
    (r"^apache software license$", "Apache-2.0"),
    (r"^(the )?mit([ -]?licen[sc]e)?$", "MIT"),
    (r"^(new |modified )?bsd([ -]3([ -]clause)?)?([ -]licen[sc]e)?$", "BSD-3-Clause"),
    (r"^(psf|psf-2\.0|python software foundation license)$", "PSF-2.0"),
    (r"^mozilla public license 2\.0.*$", "MPL-2.0"),
    (r"^isc license( \(iscl\))?$", "ISC"),
)


def licence_of(
    expression: str | None, classifiers: Sequence[str], text: str | None
) -> tuple[str, str]:
    """
    Return the name and the category of a licence.

    :param expression: an SPDX expression; the best source where it is given.
    :param classifiers: trove classifiers of the distribution.
    :param text: the free text of the ``License`` field: a name, or all of it.
    """
    stated = [
        classifier.rpartition(" :: ")[2]
        for classifier in classifiers
        if classifier.startswith("License :: ")
        and not classifier.endswith(":: OSI Approved")
    ]
    first_line = (text or "").strip().partition("\n")[0]
    if expression:
        name = expression
    elif first_line and len(first_line) <= 40 and first_line != "UNKNOWN":
        name = first_line
    elif stated:
        name = " OR ".join(stated)
    else:
        return UNKNOWN, UNKNOWN
    name = " ".join(name.split())
    for pattern, known in _NAMES:
        if re.match(pattern, name, re.IGNORECASE):
            name = known
            break
    for category, pattern in _MARKS:
        if re.search(pattern, name, re.IGNORECASE):
            return name[:200], category
    return name[:200], OTHER
