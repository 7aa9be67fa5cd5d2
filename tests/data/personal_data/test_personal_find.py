from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pytest

from modelwright.core.errors import UsageError
from modelwright.data.personal_data.detect import DETECTORS, find
from modelwright.data.personal_data.kinds import COLUMNS, KINDS, PLACEHOLDERS


def found(text: str) -> list[tuple[str, str]]:
    """Kind and text of each match."""
    return [(match.kind, text[match.start : match.end]) for match in find(text)]


# kind, text; what must be found stands between the marks
PERSONAL = [
    ("email", "Write to «jo.o'neil+news@mail.trinity.ac.uk», please."),
    ("email", "«müller@zürich-post.ch»"),
    ("email", "mailto:«a_b@c.io»?subject=x"),
    ("email", "'«quoted@site.org»'"),
    ("email", "<«barry at python.org»>"),
    ("email", "«guido (at) python (dot) org» and more"),
    ("email", "reach «me [at] my-site.co.uk»."),
    ("phone", "«+44 20 8366 1177» from abroad"),
    ("phone", "«+46 (0)8 928 571 38» fax"),
    ("phone", "«001-518-640-0854» mobile"),
    ("phone", "Dial «(650) 253-2222 ext. 12»!"),
    ("phone", "from «905-674-3793»."),
    ("phone", "«930.267.3943»"),
    ("phone", "meet at «0494 92 82 32» or so"),
    ("phone", "à «01.84.17.61.18» svp"),
    ("phone", "Phone:\n«60-56-85-91»"),
    ("phone", "please call me on «450 0840»"),
    ("phone", "Fax: «9498777106»"),
    ("phone", "«3660170548»-Fax"),
    ("phone", "«+1 202 456 1414» 2020 was the year"),
    ("credit_card", "pay with «4111 1111 1111 1111» now"),
    ("credit_card", "pay with «4111-1111-1111-1111» now"),
    ("credit_card", "amex «3782 822463 10005»"),
    ("credit_card", "no. «5555555555554444»"),
    ("credit_card", "my card is «4222222222222»"),
    ("iban", "to «GB29 NWBK 6016 1331 9268 19» for rent"),
    ("iban", "IBAN:«DE89370400440532013000»."),
    ("us_ssn", "SSN «514-69-0360»"),
    ("us_ssn", "his social security number: «514690360»"),
    ("us_ssn", "ssn «514 69 0360»"),
    ("ip_address", "blocked «106.31.73.20»:8080"),
    ("ip_address", "client ip=«86.121.97.248»"),
    ("ip_address", "my ip is «2.7.18.1», why?"),
    ("ip_address", "[«2606:4700:4700::1111»]"),
    ("ip_address", "«6e40:4041:c617:e898:c11:40d2:c669:2eb4» again"),
    ("mac_address", "ether «3c:22:fb:9a:01:ef» txqueuelen"),
    ("mac_address", "«3C-22-FB-9A-01-EF»"),
    ("date_of_birth", "Date of birth: «2/8/1935»"),
    ("date_of_birth", "DOB «1985-03-12»"),
    ("date_of_birth", "she was born on «6/24/1991» in Rome"),
    ("date_of_birth", "my birthday is «March 12, 1985»"),
    ("passport", "Passport No: «C01234567»"),
    ("driver_licence", "My driver's license number is «F162823540116»."),
    ("bitcoin_address", "send to «1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa»"),
    ("bitcoin_address", "send to «bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4»"),
    ("street_address", "lives at «2450 Crown St» since May"),
    ("street_address", "«370 Fourth Avenue NW, Suite 697, New Haven, CT 06511-1234»!"),
    ("street_address", "send it to «P.O. Box 1234»"),
    ("street_address", "«PSC 0413, Box 8144\nAPO AA 42323»"),
]


@pytest.mark.parametrize(("kind", "marked"), PERSONAL)
def test_is_found_with_its_exact_ends(kind: str, marked: str) -> None:
    value = marked[marked.index("«") + 1 : marked.index("»")]
    assert found(marked.replace("«", "").replace("»", "")) == [(kind, value)]


INNOCENT = [
    # reserved for examples
    "mail jane@example.com, a@sub.example.org, b@host.test, c@x.invalid, d@localhost, e@pc.local",
    "ping 192.168.1.10 10.0.0.1 127.0.0.1 172.16.9.1 203.0.113.9 255.255.255.0 224.0.0.251",
    "use 8.8.8.8 or 2001:db8::8a2e:370:7334 or fe80::1ff:fe23:4567:890a",
    "call 212-555-0123 or +1 212 555 0199",
    "SSN 078-05-1120, 000-12-3456, 666-12-3456, 912-12-3456, 514-00-0360, 514-69-0000",
    "00:00:5E:00:53:2a ff:ff:ff:ff:ff:ff 12:34:56:78:90:12 12:34:56",
    # versions, dates, hashes, log lines, code
    "Python 3.11.7, version 1.2.3.4, v200.1.2.3, chrome 86.0.4240.75, ==77.1.2.3",
    "section 4.3.12.45, >= 99.1.2.3",
    "2024-01-31T12:34:56.123456Z 1700000000 1700000000000 20240131 31.01.2024 2024/01/31",
    "commit 5d41402abc4b2a76b9719d911017c592 e3b0c44298fc1c149afbf4c8996fb92427ae41e4",
    "de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3 GB82WEST12345698765431",
    "550e8400-e29b-41d4-a716-446655440000",
    "ISBN 978-3-16-148410-0, ISBN-10 0-306-40615-2, ISSN 0378-5955, doi:10.1000/182",
    "pages 1234-5678, 1,234,567,890 items, 3.14159265358979, 6.02214076e23, +35236450.6",
    "4111111111111112 and 41111111111111111111 and 0.4111111111111111",
    "[    0.123456] usb 1-1.2: new device 0bda:8153, 0x7ffd 1234567 1234568",
    "x = a @ b.T; icon@2x.png; git@github.com:me/it.git; @decorator.name; npm i react@18.2.0",
    "std::vector<int>::iterator a::b::c 10:20:30:40 1::2",
    "born on 12 March 1879 in Ulm; (born March 14, 1879)",
    "call 1234567 times; text 20010203; f(12345678, 87654321); range 100 200 300 400",
    "In the 1984 Wimbledon Court case, 3 Dr Watson, 20 Court, 42 St Louis, 5 The Long Way Place",
    "phone 00 00 00 00; RFC 2822; port 8080; 1/2-3/4; 12 345 678 inhabitants; $1 234 567 890",
    "<EMAIL> or <PHONE>: nothing is left",
    "passport to freedom in 1234; a driver's license costs 85",
]  # fmt: skip


@pytest.mark.parametrize("text", INNOCENT)
def test_nothing_is_found(text: str) -> None:
    assert found(text) == []


def test_a_kind_that_is_not_asked_for_is_not_found() -> None:
    text = "jo@site.org, 905-674-3793"
    assert [m.kind for m in find(text, ["phone"])] == ["phone"]
    assert find(text, []) == []


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'email'"):
        find("", ["emial"])


def test_where_kinds_overlap_the_more_specific_wins() -> None:
    assert found("ftp://jo:s3cret8z@ftp.site.org/") == [("url_password", "jo:s3cret8z")]
    assert found("card, call 4111111111111111") == [("credit_card", "4111111111111111")]


def test_matches_are_in_order_and_do_not_overlap() -> None:
    matches = find("call 450 0840 or jo@site.org at 2450 Crown St, ssn 514-69-0360")
    assert [match.kind for match in matches] == ["phone", "email", "street_address", "us_ssn"]
    assert all(a.end <= b.start for a, b in itertools.pairwise(matches))


def test_every_kind_has_a_detector_and_its_own_names() -> None:
    names = {kind.name for kind in KINDS}
    assert {detector.kind for detector in DETECTORS} == names
    assert len(names) == len(KINDS) == len(set(PLACEHOLDERS.values())) == len(set(COLUMNS.values()))


def test_the_made_up_sentences(shared_data: Path) -> None:
    """Floors below what was measured, for the types that have a shape."""
    path = shared_data / "fake_pii" / "sentences.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    floors = {
        ("email", "EMAIL_ADDRESS"): 1.0, ("iban", "IBAN_CODE"): 1.0, ("us_ssn", "US_SSN"): 1.0,
        ("ip_address", "IP_ADDRESS"): 1.0, ("credit_card", "CREDIT_CARD"): 0.95,
        ("phone", "PHONE_NUMBER"): 0.95, ("driver_licence", "US_DRIVER_LICENSE"): 1.0,
    }  # fmt: skip
    found = [(row["id"], match) for row in rows for match in find(row["text"])]
    for (kind, type_), floor in floors.items():
        truth = {
            (row["id"], span["start"], span["end"])
            for row in rows
            for span in row["spans"]
            if span["type"] == type_
        }
        ours = {(id_, match.start, match.end) for id_, match in found if match.kind == kind}
        assert len(truth & ours) >= floor * len(truth), kind
        assert not ours - truth, kind
