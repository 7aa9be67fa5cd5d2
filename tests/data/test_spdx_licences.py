from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.licence_texts import (
    is_licence_file,
    licence_in_tag,
    licence_of_text,
    licences_by_folder,
    nearest_licence,
)
from modelwright.data.licences import (
    DENIED,
    NOT_ALLOWED,
    UNKNOWN,
    LicencePolicy,
    find_licence,
    is_share_alike,
    licence_of_url,
    normalise,
)

MIT_GRANT = (
    "Permission is hereby granted, free of charge, to any person obtaining\n a copy of this"
    " software ... to whom the Software is furnished to do so, "
)
MIT_TEXT = MIT_GRANT + "subject to: this permission notice shall be included in all copies."
BSD_TEXT = (
    "Redistribution and use in source and binary forms, with or without\n# modification, are"
    " permitted provided that the following conditions are met: ..."
)


@pytest.mark.parametrize(
    ("statement", "licence"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("The MIT License", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("gpl-2.0+", "GPL-2.0-or-later"),
        ("GPLv3", "GPL-3.0-only"),
        ("GPL v2 or later", "GPL-2.0-or-later"),
        ("GPL-2.0-or-later", "GPL-2.0-or-later"),
        ("GNU Lesser General Public License version 2.1 or later", "LGPL-2.1-or-later"),
        ("GNU Affero General Public License v3.0", "AGPL-3.0-only"),
        ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported License", "CC-BY-SA-3.0"),
        ("cc0", "CC0-1.0"),
        ("public domain", "LicenseRef-public-domain"),
        ("public domain or CC0-1.0", "LicenseRef-public-domain OR CC0-1.0"),
        ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("(MIT OR Apache-2.0) and CC0-1.0", "(MIT OR Apache-2.0) AND CC0-1.0"),
        (
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "GPL-2.0-only WITH Classpath-exception-2.0",
        ),
        ("https://creativecommons.org/licenses/by-nc/4.0/deed.en", "CC-BY-NC-4.0"),
        ("http://creativecommons.org/licenses/by-sa/3.0/de/", "CC-BY-SA-3.0-DE"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("https://example.org/licence", "LicenseRef-https-example.org-licence"),
        ("LicenseRef-mine", "LicenseRef-mine"),
        ("our own terms (2024)", "LicenseRef-our-own-terms-2024"),
        ("MIT OR our own", "LicenseRef-MIT-OR-our-own"),
        ("", "LicenseRef-unknown"),
        ("Other", "LicenseRef-unknown"),
        ("NOASSERTION", "LicenseRef-unknown"),
        ("((", "LicenseRef-unknown"),
        ("()", "LicenseRef-unknown"),
        ("( AND MIT", "LicenseRef-AND-MIT"),
        ("(MIT OR (/ MIT))", "LicenseRef-MIT-OR-MIT"),
    ],
)
def test_statements_become_spdx_expressions(statement, licence):
    assert normalise(statement) == licence


@given(st.text(max_size=600) | st.from_regex(r"(MIT|GPL|AND|OR|WITH|\(|\)|/| )*", fullmatch=True))
def test_every_statement_becomes_an_expression_that_stays(statement):
    licence = normalise(statement)
    assert normalise(licence) == licence
    assert LicencePolicy().judge(licence) is None


def test_a_very_long_statement_is_no_expression():
    assert normalise(" AND ".join(["MIT"] * 500)).startswith("LicenseRef-")


@pytest.mark.parametrize(
    ("url", "licence"),
    [
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("creativecommons.org/publicdomain/mark/1.0/", "LicenseRef-public-domain"),
        ("http://creativecommons.org/licenses/by/2.5", "CC-BY-2.5"),
        ("https://www.gnu.org/licenses/gpl-3.0.en.html", "GPL-3.0-only"),
        ("https://www.gnu.org/licenses/old-licenses/gpl-2.0.html", "GPL-2.0-only"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("https://spdx.org/licenses/ISC.html", "ISC"),
        ("https://example.org/creativecommons", ""),
        ("https://creativecommons.org/licenses/unheard-of/9.0", ""),
    ],
)
def test_addresses_of_licences(url, licence):
    assert licence_of_url(url) == licence


@pytest.mark.parametrize(
    ("policy", "licence", "reason"),
    [
        (LicencePolicy(), "", None),
        (LicencePolicy(strict=True), "", UNKNOWN),
        (LicencePolicy(strict=True), "LicenseRef-unknown", UNKNOWN),
        (LicencePolicy(strict=True), "our own terms", UNKNOWN),
        (LicencePolicy(strict=True), "public domain", None),
        (LicencePolicy(strict=True), "MIT", None),
        (LicencePolicy(strict=True, allow=("LicenseRef-our*",)), "our own terms", None),
        (LicencePolicy(allow=("MIT",)), "", None),
        (LicencePolicy(allow=("MIT",)), "ISC", NOT_ALLOWED),
        (LicencePolicy(allow=("cc-by-*",)), "CC-BY-SA-4.0", None),
        (LicencePolicy(allow=("CC-BY-*",), deny=("*-NC-*",)), "CC-BY-NC-4.0", DENIED),
        (LicencePolicy(allow=("MIT",)), "MIT OR GPL-3.0-only", None),
        (LicencePolicy(allow=("MIT",)), "MIT AND GPL-3.0-only", NOT_ALLOWED),
        (LicencePolicy(deny=("GPL-*",)), "GPL-3.0", DENIED),
        (LicencePolicy(deny=("GPL-*",)), "GPL-3.0 OR MIT", None),
        (LicencePolicy(deny=("GPL-*",)), "(GPL-3.0 OR MIT) AND AGPL-3.0", None),
        (LicencePolicy(deny=("*GPL-*",)), "(GPL-3.0 OR MIT) AND AGPL-3.0", DENIED),
        (LicencePolicy(deny=("GPL-*",)), "GPL-2.0-only WITH Classpath-exception-2.0", DENIED),
        (LicencePolicy(deny=("*WITH Classpath*",)), "GPL-2.0-only", None),
        (LicencePolicy(strict=True), "GPL-2.0-only WITH Classpath-exception-2.0", None),
    ],
)
def test_policies(policy, licence, reason):
    assert policy.judge(licence) == reason


@pytest.mark.parametrize(
    ("licence", "answer"),
    [
        ("CC-BY-SA-4.0", True),
        ("CC-BY-SA-3.0-DE", True),
        ("CC-BY-4.0", False),
        ("GPL-3.0-or-later", True),
        ("MPL-2.0", True),
        ("MIT OR GPL-3.0-only", False),
        ("AGPL-3.0-only OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("", False),
    ],
)
def test_share_alike(licence, answer):
    assert is_share_alike(licence) is answer


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("# SPDX-License-Identifier: MIT\n", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only OR MIT */", "GPL-2.0-only OR MIT"),
        ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->", "CC-BY-4.0"),
        ("SPDX-License-Identifier: (MIT OR ISC) AND 0BSD", "(MIT OR ISC) AND 0BSD"),
        ("Write SPDX-License-Identifier: MIT into each file.", ""),
        ("SPDX-License-Identifier:", ""),
        ("x" * 5000 + "\nSPDX-License-Identifier: MIT", ""),
    ],
)
def test_tags_in_files(text, tag):
    assert licence_in_tag(text) == tag


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT_TEXT, "MIT"),
        (MIT_GRANT + 'THE SOFTWARE IS PROVIDED "AS IS"', "MIT-0"),
        (BSD_TEXT, "BSD-2-Clause"),
        (BSD_TEXT + "Neither the name of X nor", "BSD-3-Clause"),
        (BSD_TEXT + "All advertising materials mentioning features", "BSD-4-Clause"),
        ("Apache License\n   Version 2.0, January 2004", "Apache-2.0"),
        ("Licensed under the Apache License, Version 2.0 (the", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE\n  Version 3, 29 June 2007", "GPL-3.0-only"),
        ("GNU GENERAL PUBLIC LICENSE\n  Version 2, June 1991", "GPL-2.0-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 2.1, February 1999", "LGPL-2.1-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007", "LGPL-3.0-only"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE Version 3, 19 November 2007", "AGPL-3.0-only"),
        ("Mozilla Public License Version 2.0\n====", "MPL-2.0"),
        ("This is free and unencumbered software released into the public domain.", "Unlicense"),
        ("Creative Commons Legal Code\n\nCC0 1.0 Universal", "CC0-1.0"),
        ("Attribution 4.0 International\n====", "CC-BY-4.0"),
        ("Attribution-ShareAlike 3.0 Unported", "CC-BY-SA-3.0"),
        ("Attribution-NonCommercial-NoDerivatives 4.0 International", "CC-BY-NC-ND-4.0"),
        ("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2\n---", "PSF-2.0"),
        ("PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2 ... BEOPEN", "Python-2.0"),
        (MIT_TEXT + "\n\n" + BSD_TEXT, "BSD-2-Clause AND MIT"),
        ("All rights reserved.", ""),
        ("", ""),
    ],
)
def test_texts_of_licences(text, licence):
    assert licence_of_text(text) == licence
    assert normalise(licence or "unknown") == (licence or "LicenseRef-unknown")


@given(st.text(max_size=300))
def test_reading_any_text_gives_a_known_licence_or_none(text):
    assert normalise(licence_of_text(text)) in ("LicenseRef-unknown", licence_of_text(text))
    licence_in_tag(text)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("LICENSE", True),
        ("sub/licence.txt", True),
        ("COPYING.LESSER", True),
        ("LICENSE-MIT", True),
        ("UNLICENSE", True),
        ("license.py", False),
        ("licensing.md", False),
        ("my-license.txt", False),
    ],
)
def test_names_of_licence_files(name, answer):
    assert is_licence_file(name) is answer


def test_a_licence_file_covers_what_lies_below_it():
    folders = licences_by_folder(
        [
            ("LICENSE", MIT_TEXT),
            ("docs/LICENSE-CC", "Attribution 4.0 International"),
            ("docs/LICENSE-CODE", MIT_TEXT),
            ("vendor/LICENSE", "Nobody may copy this."),
        ]
    )
    assert folders == {"": "MIT", "docs": "CC-BY-4.0 AND MIT", "vendor": ""}
    assert nearest_licence("a.txt", folders) == "MIT"
    assert nearest_licence("src/deep/a.txt", folders) == "MIT"
    assert nearest_licence("docs/x/a.txt", folders) == "CC-BY-4.0 AND MIT"
    assert nearest_licence("vendor/lib/a.txt", folders) == ""
    assert nearest_licence("a.txt", {}) == ""
    assert nearest_licence("a.zip!/x/b.txt", {"a.zip!": "ISC", "": "MIT"}) == "ISC"


def test_what_a_document_says_wins_over_its_folder_and_the_settings():
    everything = {
        "stated": "mit",
        "text": "SPDX-License-Identifier: ISC",
        "folder": "Apache-2.0",
        "default": "CC0-1.0",
    }
    found = []
    for weaker in ("stated", "text", "folder", "default"):
        found.append(find_licence(**everything))
        everything[weaker] = ""
    found.append(find_licence(**everything))
    assert found == [
        ("MIT", "row"),
        ("ISC", "SPDX tag"),
        ("Apache-2.0", "LICENSE file"),
        ("CC0-1.0", "settings"),
        ("LicenseRef-unknown", ""),
    ]
    stated = find_licence(stated="unknown", default="CC0-1.0")
    assert stated == ("CC0-1.0", "settings")
    assert find_licence(stated="MIT", stated_by="card", default="") == ("MIT", "card")
