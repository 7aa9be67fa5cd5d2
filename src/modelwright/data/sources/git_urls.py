"""Where git may connect to: public hosts, at the address that was checked."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from modelwright.core.errors import InputError
from modelwright.data.web.addresses import AddressError, Allowance, checked_addresses

SSH_PORT = 22

_SHORT_SSH = re.compile(r"([\w.-]+)@([\w.-]+):(?!//)(.+)")  # git@host:path


def is_remote(repository: str) -> bool:
    """Whether a repository is named by a URL, or in ssh's short form, and not by its folder."""
    return "://" in repository or _SHORT_SSH.fullmatch(repository) is not None


def pinned_settings(url: str) -> list[str]:
    """Check the host of a URL and give settings that make git connect to the address checked.

    git and ssh look names up themselves; without these settings a second answer might lead them to
    another host than the first (DNS rebinding).

    Raises
    ------
    InputError
        If the URL is of another kind, holds a password, or its host must not be reached.
    """
    host, port, is_https = _host_of(url)
    try:
        allowance = Allowance(ports=frozenset({SSH_PORT}))
        address = checked_addresses(host, port, allowance=allowance)[0]
    except AddressError as error:
        raise InputError(
            f"this repository cannot be fetched: {error}",
            where=_without_secret(url),
            fix="give a public repository, or clone it yourself and give its folder",
        ) from None
    if is_https:
        shown = f"[{address}]" if address.version == 6 else str(address)
        return [f"http.curloptResolve={host}:{port}:{shown}"]
    return [
        f"core.sshCommand=ssh -F {os.devnull} -o BatchMode=yes -o StrictHostKeyChecking=yes"
        f" -o ProxyCommand=none -o HostName={address} -o HostKeyAlias={host}"
    ]


def _host_of(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether the URL is of https (else ssh)."""
    if short := _SHORT_SSH.fullmatch(url):
        return _plain_host(short[2], url), SSH_PORT, False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url("this URL cannot be read", url) from None
    if parts.scheme not in ("https", "ssh"):
        raise _bad_url(f"repositories are not fetched by {parts.scheme}://", url)
    is_https = parts.scheme == "https"
    if parts.password is not None or (is_https and parts.username is not None):
        raise _bad_url("the URL of a repository holds a user name or password", url)
    host = _plain_host(parts.hostname or "", url)
    return host, port or (443 if is_https else SSH_PORT), is_https


def _plain_host(host: str, url: str) -> str:
    """A host that can stand in a command without being taken for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", host):
        raise _bad_url("this host name cannot be read", url)
    return host


def _without_secret(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _bad_url(what: str, url: str) -> InputError:
    return InputError(
        what, where=_without_secret(url), fix="give an https:// or ssh:// URL, or a folder"
    )
