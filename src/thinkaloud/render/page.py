"""One HTML file from a Jinja2 template, in the style that all pages share.

Whatever a template prints is escaped, and characters that cannot be printed are made visible; only what is wrapped in
`Markup` is put in as it is.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from thinkaloud.render.text import clean


@cache
def environment() -> Environment:
    """The templates of `render/web`, everything they print made safe."""
    return Environment(
        loader=PackageLoader("thinkaloud.render", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_safe,
    )


def render(template: str, **context: Any) -> str:
    """The page that `template` makes of `context`; it may put in any file of `render/web` with `file(name)`."""
    return environment().get_template(template).render(**context, file=lambda name: Markup(asset(name)))


def prose(template: str, **context: Any) -> Any:
    """What a template of a page's parts makes, as its `str`, and what it sets, as attributes."""
    return environment().from_string(template).make_module(context)


def asset(name: str) -> str:
    """A style sheet or a script of `render/web`."""
    return files("thinkaloud.render").joinpath("web", name).read_text(encoding="utf-8")


def embedded(data: Any) -> Markup:
    """JSON for a script element that no content can break out of: ASCII, and no `<`, `>` or `&` in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _safe(value: Any) -> Any:
    """What a template prints, before it is escaped: an object as its text, in characters that print."""
    return value if isinstance(value, Markup) else clean(str(value))
