"""The only module that knows Jinja2: a template and its variables become text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, FunctionLoader, StrictUndefined, Undefined

from bootstrap.template_files import text

# Legal raw in JSON, but a line break or not allowed in YAML: https://yaml.org/spec/1.2.2/#51-character-set
_NOT_RAW_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def render(template: str, context: Mapping[str, object]) -> str:
    """The text of `template` ("manifests/etcd.yaml.j2", as it lies below templates/) with these variables.

    A variable the template uses and `context` lacks raises jinja2.UndefinedError: never a silent blank.
    """
    return _environment().get_template(template).render(context)


def json_value(value: object, indent: int | None = None) -> str:
    """Any JSON value, as JSON and as YAML the same: whatever it holds, it stays one value; `indent` spreads it.

    In templates it is `|tojson`. Jinja's own filter of this name also escapes & < > ' for HTML, and manifests
    are for people; the templates mean the same under either, so Ansible and others can use them as they are.
    """
    raw = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=_refuse)
    return _NOT_RAW_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", raw)


def _refuse(value: object) -> str:
    """What JSON has no word for; a missing variable says which one it is when it is read."""
    if isinstance(value, Undefined):
        return str(value)
    raise TypeError(f"a template's value can't be a {type(value).__name__}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(text),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (what is rendered is YAML and shell, never HTML)
    )
    environment.filters["tojson"] = json_value
    return environment
