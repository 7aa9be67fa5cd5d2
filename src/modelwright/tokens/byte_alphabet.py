"""The printable stand-ins for bytes that byte-level BPE files use (Radford et al. 2019, GPT-2)."""

from __future__ import annotations


def byte_to_character() -> dict[int, str]:
    """Map each byte to its printable character: itself where printable, else from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in table]
    return table | {byte: chr(0x100 + index) for index, byte in enumerate(others)}


def character_to_byte() -> dict[str, int]:
    """The inverse of :func:`byte_to_character`."""
    return {character: byte for byte, character in byte_to_character().items()}
