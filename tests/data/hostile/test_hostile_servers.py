from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from servers import HOSTILE, client_of, reply, serving, site
from servers_ssrf import ATTEMPTS, IS_SUPPORTED, Attempt, attempt

from modelwright.data.web.network import FetchError
from modelwright.data.web.urls import parse_url


@pytest.mark.skipif(not IS_SUPPORTED, reason="needs 127.0.0.2")
@pytest.mark.parametrize("one", ATTEMPTS, ids=lambda one: one.name)
def test_no_attempt_reaches_an_address_that_is_not_global(one: Attempt) -> None:
    refused, reasons = attempt(one)
    assert refused, reasons


@pytest.mark.skipif(not IS_SUPPORTED, reason="needs 127.0.0.2")
def test_the_accomplice_itself_can_be_reached() -> None:
    """Otherwise the attempts above would fail for another reason than the one that is tested."""
    harmless = Attempt("none", "http://good.test:{port}/", [["127.0.0.2"]])
    refused, reasons = attempt(harmless)
    assert not refused
    assert reasons == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_no_more_than_its_limits(name: str) -> None:
    answer, expected = HOSTILE[name]
    with serving(answer) as server:
        client = client_of(server)
        tracemalloc.start()
        try:
            with pytest.raises(FetchError) as caught:
                client.fetch(parse_url(f"http://site.test:{server.port}/"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert re.match(expected, str(caught.value))
    assert peak < 8 * 2**20  # the limit is 0.2 MB, the bomb 50 MiB


def make_certificate(folder: Path, name: str) -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-keyout key.pem -out cert.pem -subj /CN={name} -addext subjectAltName=DNS:{name}"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_certificates_are_checked(tmp_path: Path) -> None:
    context = make_certificate(tmp_path, "site.test")
    trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    with serving(site({"/": reply("<p>hello</p>")}), tls=context) as server:
        right = parse_url(f"https://site.test:{server.port}/")
        wrong = parse_url(f"https://other.test:{server.port}/")
        assert client_of(server, tls=trusting).fetch(right).body == b"<p>hello</p>"
        with pytest.raises(FetchError, match="TLS certificate that is not valid"):
            client_of(server, tls=trusting).fetch(wrong)
        with pytest.raises(FetchError, match="TLS certificate that is not valid"):
            client_of(server).fetch(right)
    with serving(site({})) as server, pytest.raises(FetchError, match="TLS failed"):
        client_of(server).fetch(parse_url(f"https://site.test:{server.port}/"))
