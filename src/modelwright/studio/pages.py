"""What every page is made with: templates that escape, and a script that alone may run."""

from __future__ import annotations

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def page_environment() -> Environment:
    """Jinja with our templates; what is put into them is escaped, what is missing is an error."""
    return Environment(
        loader=PackageLoader("modelwright.studio", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style_of(environment: Environment, *names: str) -> Markup:
    """Style sheets one after the other."""
    return Markup("".join(environment.get_template(name).render() for name in names))


def script_of(environment: Environment, name: str) -> tuple[Markup, str]:
    """A script, and its hash for the page's content security policy."""
    script = environment.get_template(name).render()
    return Markup(script), base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
