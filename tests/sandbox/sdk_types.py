"""Check JSON against the types that Stripe generates for its SDK.

`faults(obj)` walks an API object along the annotations of its SDK class and says in words what does not fit:
unknown fields, missing ones, wrong types, values outside a closed list.
"""

import ast
import functools
import importlib
import inspect
import sys
import types
import typing
from typing import Any

from stripe import ListObject, StripeObject
from stripe._object_classes import OBJECT_CLASSES

Path = str


def faults(body: dict[str, Any]) -> list[str]:
    """What is wrong with an API object (or a list, an event, a deleted object); empty when all is well."""
    kind = body.get("object")
    if kind == "list":
        found = [f"list: {name} is missing" for name in ("data", "has_more", "url") if name not in body]
        return found + [fault for item in body["data"] for fault in faults(item)]
    if kind not in OBJECT_CLASSES:
        return [f"the SDK has no class for {kind!r}"]
    if body.get("deleted") is True:
        return [] if set(body) == {"id", "object", "deleted"} else [f"{kind}: a deleted object says more"]
    found = _object(body, sdk_class(kind), kind)
    if kind == "event":
        found += [f"event.data.{fault}" for fault in faults(body["data"]["object"])]
    return found


@functools.cache
def sdk_class(kind: str) -> type[StripeObject]:
    """The SDK's class for the value of `object`."""
    module, name = OBJECT_CLASSES[kind]
    return getattr(importlib.import_module(module), name)


def _object(body: dict[str, Any], cls: type[StripeObject], path: Path) -> list[str]:
    hints = _fields(cls)
    if not hints:  # an object without declared fields may hold anything
        return []
    found: list[str] = []
    for name, value in body.items():
        if name in hints:
            found += _value(value, hints[name], cls, f"{path}.{name}")
        else:
            found.append(f"{path}.{name} is unknown")
    missing = [name for name, hint in hints.items() if name not in body and not _may_be_none(hint)]
    return found + [f"{path}.{name} is missing" for name in missing]


def _value(value: Any, hint: Any, cls: type[StripeObject], path: Path) -> list[str]:
    hint = _resolved(hint, cls)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return []
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, args, cls, path)
    if origin is typing.Literal:
        return [] if value in args else [f"{path} is {value!r}, not one of {args}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path} is not a list"]
        return [fault for n, item in enumerate(value) for fault in _value(item, args[0], cls, f"{path}[{n}]")]
    if inspect.isclass(origin) and issubclass(origin, ListObject):
        return faults(value) if isinstance(value, dict) else [f"{path} is not a list object"]
    if inspect.isclass(origin) and issubclass(origin, (dict, StripeObject)):
        return [] if isinstance(value, dict) else [f"{path} is not an object"]
    return _plain(value, hint, path)


def _one_of(value: Any, options: tuple[Any, ...], cls: type[StripeObject], path: Path) -> list[str]:
    """No faults when one option fits; else the faults of the option that fits best."""
    if value is None:
        return [] if type(None) in options else [f"{path} is null"]
    options = tuple(_resolved(option, cls) for option in options)
    if any(typing.get_origin(option) is typing.Literal for option in options):
        # "A | B | str": open for versions to come, closed for this one
        options = tuple(option for option in options if option is not str)
    tries = [_value(value, option, cls, path) for option in options if option is not type(None)]
    return min(tries, key=len)


def _plain(value: Any, hint: Any, path: Path) -> list[str]:
    if hint is bool or isinstance(value, bool):
        fits = hint is bool and isinstance(value, bool)
    elif hint is float:
        fits = isinstance(value, (int, float))
    elif inspect.isclass(hint) and issubclass(hint, StripeObject):
        if isinstance(value, dict):
            return _object(value, hint, path)
        fits = False
    elif hint in (int, str):
        fits = isinstance(value, hint)
    else:  # a number written as text, as Stripe sends decimals
        fits = getattr(hint, "__name__", "") == "Decimal" and isinstance(value, str)
    return [] if fits else [f"{path} is {value!r:.60}, which is not {getattr(hint, '__name__', hint)}"]


def _may_be_none(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


@functools.cache
def _fields(cls: type[StripeObject]) -> dict[str, Any]:
    """The declared fields of an SDK class under the names they have in JSON."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("stripe.") or base.__name__ in ("StripeObject", "APIResource"):
            continue
        for name, hint in inspect.get_annotations(base).items():
            if not name.startswith("_") and name != "OBJECT_NAME" and "ClassVar" not in str(hint):
                found[name] = _resolved(hint, base)
    spelled = {python: json for json, python in (getattr(cls, "_field_remappings", None) or {}).items()}
    found = {spelled.get(name, name): hint for name, hint in found.items()}
    found.pop("deleted", None)
    return found


def _resolved(hint: Any, cls: type[Any]) -> Any:
    """What a name in quotes stands for inside this class."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if not isinstance(hint, str):
        return hint
    module = sys.modules[cls.__module__]
    outer = getattr(module, cls.__qualname__.split(".")[0])
    names: dict[str, Any] = {**vars(typing), **_imports(cls.__module__), **vars(module)}
    for base in reversed(outer.__mro__ + cls.__mro__):
        names |= vars(base)
    names[outer.__name__] = outer
    return _resolved(eval(hint, names), cls)


@functools.cache
def _imports(module_name: str) -> dict[str, Any]:
    """Everything a module imports, also what it imports for type checkers only."""
    names: dict[str, Any] = {}
    tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            source = importlib.import_module(node.module)
            names |= {alias.asname or alias.name: getattr(source, alias.name) for alias in node.names}
    return names
