"""Request parameters: from `a[b][0]=c` to checked values, refused as Stripe refuses them."""

import difflib
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fondaco_sandbox.errors import ApiError, invalid, missing
from fondaco_sandbox.store import Obj, is_object

_BRACKETS = re.compile(r"\[([^\]]*)\]")
_INTEGER = re.compile(r"-?\d{1,19}")
_DECIMAL = re.compile(r"-?\d{1,19}(\.\d{1,12})?")


@functools.cache
def shapes() -> Obj:
    """The content of request_shapes.json (see request_shapes.py)."""
    return json.loads(Path(__file__).with_name("request_shapes.json").read_bytes())


def api_version() -> str:
    return shapes()["api_version"]


def nest(pairs: Iterable[tuple[str, str]]) -> Obj:
    """Turn form fields into nested mappings and lists."""
    tree: Obj = {}
    for name, value in pairs:
        head, bracket, rest = name.partition("[")
        path = [head, *_BRACKETS.findall(bracket + rest)]
        place = tree
        for part in path[:-1]:
            key = part or str(len(place))
            below = place.setdefault(key, {})
            if not is_object(below):
                raise invalid(f"Invalid parameter: {name}", name)
            place = below
        last = path[-1] or str(len(place))
        if last in place:
            raise invalid(f"The parameter {name} was given twice.", name)
        place[last] = value
    return tree


def check(operation: str, raw: Obj) -> Obj:
    """The values of `raw` in their types, or the error Stripe answers for the first thing wrong."""
    return _object(shapes()["operations"][operation], raw, "")


def _object(shape: Obj, raw: Any, path: str) -> Obj:
    if not is_object(raw):
        raise invalid("Invalid object", path)
    fields: Obj = shape["object"]
    unknown = [name for name in raw if name not in fields]
    if unknown:
        raise _unknown([_join(path, name) for name in unknown], unknown[0], fields)
    for name in shape.get("required", []):
        if name not in raw:
            raise missing(_join(path, name))
    return {name: _value(fields[name], value, _join(path, name)) for name, value in raw.items()}


def _unknown(names: list[str], first: str, fields: Obj) -> ApiError:
    near = difflib.get_close_matches(first, fields, n=1, cutoff=0.7)
    hint = f". Did you mean {near[0]}?" if near else ""
    many = "s" if len(names) > 1 else ""
    message = f"Received unknown parameter{many}: {', '.join(names)}{hint}"
    return invalid(message, names[0], "parameter_unknown")


def _value(shape: Any, raw: Any, path: str) -> Any:
    if isinstance(shape, str):
        return _scalar(shape, raw, path)
    if "any" in shape:
        return _any(shape["any"], raw, path)
    if "object" in shape:
        return _object(shape, raw, path)
    if "map" in shape:
        if not is_object(raw):
            raise invalid("Invalid object", path)
        return {  # an empty value unsets its key
            name: value if value == "" else _value(shape["map"], value, f"{path}[{name}]")
            for name, value in raw.items()
        }
    if "list" in shape:
        return [_value(shape["list"], item, f"{path}[{n}]") for n, item in enumerate(_items(raw, path))]
    allowed: list[str] = shape["enum"] if "enum" in shape else shapes()["choices"][shape["choice"]]
    if raw in allowed:
        return raw
    if len(allowed) == 1:
        raise invalid(f"Invalid {path}: must be {allowed[0]}", path)
    raise invalid(f"Invalid {path}: must be one of {', '.join(allowed[:-1])}, or {allowed[-1]}", path)


def _items(raw: Any, path: str) -> list[Any]:
    if not is_object(raw) or not all(key.isdigit() for key in raw):
        raise invalid("Invalid array", path)
    return [raw[key] for key in sorted(raw, key=int)]


def _any(options: list[Any], raw: Any, path: str) -> Any:
    """The option that fits the form of what was given; its own error when it does not fit after all."""
    if raw == "" and {"enum": [""]} in options:
        return ""
    for option in options:
        nested = isinstance(option, dict) and ("object" in option or "map" in option or "list" in option)
        if nested == isinstance(raw, dict) and option != {"enum": [""]}:
            return _value(option, raw, path)
    raise invalid("Invalid object", path)


def _scalar(shape: str, raw: Any, path: str) -> Any:
    if not isinstance(raw, str):
        raise invalid(f"Invalid {shape}", path)
    if shape == "string":
        if raw == "":
            raise _empty(path)
        return raw
    if shape == "integer":
        if not _INTEGER.fullmatch(raw):
            raise invalid(f"Invalid integer: {raw}", path, "parameter_invalid_integer")
        return int(raw)
    if shape == "boolean":
        if raw not in ("true", "false"):
            raise invalid(f"Invalid boolean: {raw}", path)
        return raw == "true"
    if not _DECIMAL.fullmatch(raw):
        raise invalid(f"Invalid decimal: {raw}", path)
    return raw


def _empty(path: str) -> ApiError:
    message = (
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a "
        f"parameter; however '{path}' cannot be unset. You should remove '{path}' from your request or "
        "supply a non-empty value."
    )
    return invalid(message, path, "parameter_invalid_empty")


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def metadata(given: Any, before: Obj | None = None) -> Obj:
    """Metadata after an update: merged, an empty value unsets its key, an empty whole unsets all."""
    if given == "":
        return {}
    merged: Obj = {**(before or {}), **(given or {})}
    merged = {key: value for key, value in merged.items() if value != ""}
    if len(merged) > 50:
        raise invalid("Metadata can have at most 50 keys.", "metadata")
    for key, value in merged.items():
        if len(key) > 40:
            raise invalid(f"Metadata keys can have up to 40 characters; '{key}' has {len(key)}.", "metadata")
        if len(value) > 500:
            raise invalid(
                "Metadata values can have up to 500 characters, but you passed in a value that is "
                f"{len(value)} characters. Invalid value: {value[:40]}...",
                f"metadata[{key}]",
            )
    return merged


def is_web_address(text: str) -> bool:
    """Whether this can be an address on the web."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not set(text) & set(' \r\n\t"<>')
