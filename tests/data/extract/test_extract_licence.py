from __future__ import annotations

import pytest
from resiliparse.parse.html import HTMLTree

from modelwright.data.extract.page_licence import creative_commons, page_licence

BY = "https://creativecommons.org/licenses/by/4.0/"
BY_SA = "//creativecommons.org/licenses/by-sa/3.0/de/"
LINK, META = "rel=license link", "meta element"


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (f'<a rel="license" href="{BY}">x</a>', ("CC-BY-4.0", LINK)),
        (f'<a rel="noopener LICENSE" href="{BY}">x</a>', ("CC-BY-4.0", LINK)),
        (f'<link rel=license href="{BY_SA}">', ("CC-BY-SA-3.0", LINK)),
        (
            f'<a rel=license href="{BY}">x</a><a rel=license href="{BY}deed">y</a>',
            ("CC-BY-4.0", LINK),
        ),
        (f'<a rel=license href="{BY}">x</a><a rel=license href="{BY_SA}">y</a>', ("", "")),
        (f'<a href="{BY}">a picture\'s licence</a>', ("", "")),
        ('<a rel=license href="/terms">x</a>', ("", "")),
        ("<a rel=license>x</a><meta name=rights>", ("", "")),
        (f'<meta name="DC.rights" content="{BY}">', ("CC-BY-4.0", META)),
        (f'<meta name="description" content="{BY}">', ("", "")),
        (f'<meta name=rights content="{BY_SA}"><a rel=license href="{BY}">', ("CC-BY-4.0", LINK)),
    ],
)
def test_the_licence_of_a_page(markup, expected):
    assert page_licence(HTMLTree.parse(f"<p>text</p>{markup}")) == expected


@pytest.mark.parametrize(
    ("address", "spdx"),
    [
        ("http://creativecommons.org/licenses/by-nc-nd/2.5", "CC-BY-NC-ND-2.5"),
        ("http://creativecommons.org/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/licenses/", ""),
        ("https://example.org/licenses/by/4.0/", ""),
    ],
)
def test_addresses_of_creative_commons(address, spdx):
    assert creative_commons(address) == spdx
