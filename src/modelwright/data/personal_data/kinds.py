"""What is looked for: the table of kinds, with the placeholder and the column of each.

Names of people and of organisations are not in it: telling them from other words needs a trained
model, and a list of names would take "Rose" and "Paris" out of every novel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["personal", "secret"]


@dataclass(frozen=True)
class Kind:
    """One kind of personal data or secret.

    Parameters
    ----------
    name : str
        Its name in settings and counts.
    group : {"personal", "secret"}
        Whether it points to a person or opens a door.
    placeholder : str
        What stands in its place after redaction, as ``<EMAIL>``.
    description : str
        What counts as one.
    """

    name: str
    group: Group
    placeholder: str
    description: str

    @property
    def column(self) -> str:
        """Name of the column with the number of matches in a document."""
        return f"{self.group}_{self.name}"


def _personal(name: str, description: str) -> Kind:
    return Kind(name, "personal", f"<{name.upper()}>", description)


def _secret(name: str, description: str) -> Kind:
    return Kind(name, "secret", f"<{name.upper()}>", description)


# The most specific first: where two matches overlap, the earlier kind wins.
KINDS: tuple[Kind, ...] = (
    _secret("private_key", "PEM or PGP private key block with its content"),
    _secret("url_password", "user:password in front of the host in a URL"),
    _secret("jwt", "signed JSON web token whose header names an algorithm"),
    _secret("aws_key", "AWS access key id"),
    _secret("github_token", "GitHub personal, app or OAuth token"),
    _secret("gitlab_token", "GitLab personal or deploy token"),
    _secret("slack_token", "Slack token or incoming webhook"),
    _secret("google_key", "Google API key or OAuth client secret"),
    _secret("stripe_key", "Stripe secret, restricted or webhook key"),
    _secret("anthropic_key", "Anthropic API key"),
    _secret("openai_key", "OpenAI API key"),
    _secret("hugging_face_token", "Hugging Face token"),
    _secret("npm_token", "npm access token"),
    _secret("pypi_token", "PyPI upload token"),
    _secret("assigned_secret", "random-looking value assigned to a password, secret, token or key"),
    _personal("iban", "bank account number with right length and check digits"),
    _personal("credit_card", "card number with an issuer's prefix, length and check digit"),
    _personal("us_ssn", "US social security number that can have been issued"),
    _personal("bitcoin_address", "Bitcoin address with right checksum"),
    _personal("passport", "passport number after these words"),
    _personal("driver_licence", "number of a driver's licence after these words"),
    _personal("date_of_birth", "full date after words as 'date of birth'"),
    _personal("mac_address", "hardware address of one network card"),
    _personal("ip_address", "public IPv4 or IPv6 address"),
    _personal("email", "e-mail address outside the reserved domains"),
    _personal("street_address", "US street address, post office box or military address"),
    _personal("phone", "phone number: international, national in its usual form, or after a cue"),
)

COLUMNS: dict[str, str] = {kind.name: kind.column for kind in KINDS}
PLACEHOLDERS: dict[str, str] = {kind.name: kind.placeholder for kind in KINDS}
