from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.personal_data.checksums import (
    IBAN_LENGTHS,
    base58check,
    bech32,
    iban,
    luhn,
)

DIGITS = st.text("0123456789", min_size=2, max_size=19)


def luhn_by_hand(digits: str) -> bool:
    """As the standard says it: double every second digit from the right and add all digits."""
    doubled = [str(int(d) * 2) if i % 2 else d for i, d in enumerate(digits[::-1])]
    return sum(map(int, "".join(doubled))) % 10 == 0


@given(DIGITS)
def test_luhn_is_the_sum_of_digits(digits: str) -> None:
    assert luhn(digits) == luhn_by_hand(digits)


@given(DIGITS)
def test_one_check_digit_of_ten_fits_and_no_single_error_passes(digits: str) -> None:
    fitting = [digits + d for d in "0123456789" if luhn(digits + d)]
    assert len(fitting) == 1
    wrong = str((int(fitting[0][0]) + 1) % 10) + fitting[0][1:]
    assert not luhn(wrong)


@pytest.mark.parametrize(
    "number",
    ["GB29NWBK60161331926819", "DE89370400440532013000", "FR1420041010050500013M02606",
     "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "gb29nwbk60161331926819"],
)  # fmt: skip
def test_ibans_of_the_registry(number: str) -> None:
    assert iban(number)
    assert not iban(number[:-1])
    assert not iban(number + "0")
    assert not iban("XX" + number[2:])


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_exactly_one_pair_of_check_digits_of_the_97_fits(country: str, data: st.DataObject) -> None:
    length = IBAN_LENGTHS[country] - 4
    account = data.draw(st.text("0123456789ABCXYZ", min_size=length, max_size=length))
    fitting = [n for n in range(2, 99) if iban(f"{country}{n:02d}{account}")]
    as_number = int("".join(str(int(c, 36)) for c in account + country + "00"))
    assert fitting == [98 - as_number % 97]


def test_iban_of_nothing_is_none() -> None:
    assert not iban("")
    assert not iban("GB")


@pytest.mark.parametrize(
    "address", ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"]
)
def test_base58check(address: str) -> None:
    assert base58check(address)
    assert not base58check(address[:-1] + ("b" if address[-1] != "b" else "c"))
    assert not base58check(address.replace("1", "0"))
    assert not base58check("z" * 60)


@pytest.mark.parametrize(
    "address",  # BIP-173 and BIP-350, examples
    ["bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
     "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"],
)  # fmt: skip
def test_bech32(address: str) -> None:
    assert bech32(address)
    assert not bech32(address[:-1] + ("q" if address[-1].lower() != "q" else "p"))
    assert not bech32("bc1" + "b" * 20)
    assert not bech32("no separator")
