"""What pydantic found wrong, in the words of a person who has the file before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bootstrap.spec import shape
from bootstrap.spec.document import Document
from bootstrap.spec.faults import Fault, Where, Wrong, listed, nearest, quoted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WANTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "string_type": ("text", ""),
        "int_type": ("a whole number", "without quotes"),
        "bool_type": ("true or false", "without quotes"),
        "tuple_type": ("a list", "each entry begins with a dash, or write [a, b]"),
        "model_type": ("a mapping of fields", "field: value"),
        "dict_type": ("a mapping of fields", "field: value"),
    }
)


def faults(error: ValidationError, document: Document) -> Iterator[Fault]:
    """Every field that is wrong by itself, with what to write instead."""
    for detail in error.errors(include_url=False):
        if detail["type"] != "too_short" or not detail["input"]:  # pydantic counts the entries that are right
            yield _fault(detail, document)


def _fault(detail: ErrorDetails, document: Document) -> Fault:
    where, value = detail["loc"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            only = shape.choices(where)
            said = shape.description(where).partition(";")[0]
            return Fault(where, "is missing", f"write {where[-1]}: {only[0]}" if len(only) == 1 else said)
        case "extra_forbidden":
            known = shape.fields(where[:-1])
            return Fault(where, "unknown field", nearest(where[-1], known) or f"known: {', '.join(known)}", on_key=True)
        case "literal_error":
            known = shape.choices(where)
            hint = nearest(value, known) if len(known) > 1 else ""
            return Fault(where, f"must be {listed(map(quoted, known))}, not {quoted(value)}", hint)
        case "too_short" | "string_too_short":
            return Fault(where, "must not be empty")
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            return Fault(where, f"must be {bound}, not {value}")
        case "value_error" if isinstance(context.get("error"), Wrong):
            on_key = where[-1] == "[key]"  # pydantic's way to say: not the value, its name
            return Fault(where[:-1] if on_key else where, context["error"].problem, context["error"].hint, on_key)
        case kind if kind in _WANTED:
            return _mistyped(where, value, document, *_WANTED[kind])
        case _:
            return Fault(where, detail["msg"])


def _mistyped(where: Where, value: object, document: Document, wanted: str, hint: str) -> Fault:
    """A value of another kind than its field wants; numbers and words are shown as they are written."""
    written = document.written(where)
    match value:
        case None if wanted != "text" or not written:
            return Fault(where, f"must be {wanted}, and is empty", "remove the line, or write a value")
        case None | bool() | int() | float() if wanted == "text":
            return Fault(where, f"must be text, and {written} is not, in YAML", f"write {quoted(written)}")
        case bool() | int() | float():
            return Fault(where, f"must be {wanted}, not {written}", hint)
        case str():
            return Fault(where, f"must be {wanted}, not {quoted(value)}", hint)
        case _:
            return Fault(where, f"must be {wanted}, not a {'list' if isinstance(value, list) else 'mapping'}", hint)
