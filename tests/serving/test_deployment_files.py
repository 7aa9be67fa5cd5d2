"""The Dockerfile and what goes with it: everything they name is there, every flag is known.

Docker itself is not run.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import httpx2
import yaml
from running_server import Server

from modelwright.cli.serve import command as serve_command
from modelwright.serving.access.authentication import OPEN
from modelwright.serving.access.keys import SCOPES

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: each one's name and the rest."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line[:1] != "#"]
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What ``serve`` makes of them; raises if it does not know one."""
    assert arguments[0] == "serve"
    context = serve_command.make_context("serve", arguments[1:], resilient_parsing=False)
    assert isinstance(context, click.Context)
    return context.params


def test_the_image_holds_what_is_there_and_runs_as_nobody_special() -> None:
    steps = instructions()
    for name, rest in steps:
        if name == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
    names = [name for name, _ in steps]
    assert dict(steps)["USER"] == "modelwright"
    assert names.index("USER") > max(index for index, name in enumerate(names) if name == "RUN")
    assert dict(steps)["ENTRYPOINT"] == '["modelwright"]'
    given = parsed(json.loads(dict(steps)["CMD"]))
    assert (given["host"], given["port"]) == ("0.0.0.0", int(dict(steps)["EXPOSE"]))
    extras = re.search(r"\.\[(\w+)\]", (DEPLOY / "Dockerfile").read_text())
    assert extras is not None
    assert f"\n{extras[1]} = [" in (ROOT / "pyproject.toml").read_text()
    assert "\ntorch==" in (ROOT / "constraints.txt").read_text()


def test_the_check_of_health_asks_a_route_that_needs_no_key(server: Server) -> None:
    (check,) = (rest for name, rest in instructions() if name == "HEALTHCHECK")
    program = json.loads(check[check.index("[") :])
    compile(program[2], "HEALTHCHECK", "exec")
    (path,) = re.findall(r"127\.0\.0\.1:8000(/\w+)", program[2])
    assert path in OPEN
    assert httpx2.get(server.address + path).status_code == 200


def test_services_are_reached_from_this_machine_alone() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    given = parsed(services["server"]["command"])
    assert given["log_requests"] == 1
    assert services["server"]["build"]["dockerfile"] == "deploy/Dockerfile"
    assert (DEPLOY / services["server"]["build"]["context"] / "pyproject.toml").is_file()
    grace = int(services["server"]["stop_grace_period"].removesuffix("s"))
    assert grace > given["drain_seconds"]
    assert services["server"]["depends_on"].keys() <= services.keys()


def test_what_is_mounted_and_secret_is_declared() -> None:
    whole = compose()
    for service in whole["services"].values():
        for mount in service.get("volumes", []):
            source = mount.rsplit(":/", 1)[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_file()
            elif not source.startswith("${"):
                assert source in whole["volumes"]
        assert set(service.get("secrets", [])) <= whole["secrets"].keys()
    secrets = [secret["file"].removeprefix("./") for secret in whole["secrets"].values()]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"/deploy/{name}" for name in [*secrets, ".env"]} <= set(ignored)
    assert "password" not in re.sub(r"\$\{[^}]*\}|POSTGRES_PASSWORD|PGPASSWORD", "",
                                    (DEPLOY / "compose.yaml").read_text()).lower()  # fmt: skip


def test_prometheus_asks_the_server_with_its_key(server: Server) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert httpx2.get(server.address + job["metrics_path"]).status_code == 200
    service, port = job["static_configs"][0]["targets"][0].split(":")
    assert compose()["services"][service]["ports"][0].endswith(f":{port}")
    secret = Path(job["authorization"]["credentials_file"])
    assert secret.name in compose()["services"]["prometheus"]["secrets"]
    assert secret.parent == Path("/run/secrets")
    assert "metrics" in SCOPES


def test_the_guide_makes_what_compose_needs() -> None:
    guide = (ROOT / "docs/scale-out.md").read_text()
    for needed in ("deploy/.env", "deploy/metrics-key", "POSTGRES_PASSWORD", "WORKSPACE"):
        assert needed in guide
    (store,) = re.findall(r"^store: (\S+)$", guide, flags=re.MULTILINE)
    environment = compose()["services"]["database"]["environment"]
    user, name = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    assert store == f"postgresql+psycopg://{user}@/{name}"
    assert compose()["services"]["server"]["environment"]["PGHOST"] in compose()["services"]
    (alone,) = re.findall(r"modelwright \\\n +(serve .*)", guide)
    assert parsed(alone.split())["keys"] == Path("keys.json")
    (line,) = re.findall(r"`(docker compose [^`]*)`", guide)
    words = shlex.split(line)
    assert (ROOT / words[words.index("-f") + 1]).is_file()
