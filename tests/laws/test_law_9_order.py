"""Law 9. Modules form a total order; style that keeps them readable."""

import ast
import re

from fondaco.modules import MODULES
from tests.laws.source import SRC, functions, imports, trees

OUTSIDE = ("settings", "migrations")  # beside the modules, and free of them


def test_a_module_imports_only_what_comes_before_it() -> None:
    found: list[str] = []
    for path, tree in trees().items():
        mine = path.parts[0]
        if mine not in MODULES:
            continue
        for name, line in imports(tree):
            parts = name.split(".")
            if parts[0] != "fondaco" or len(parts) < 2 or parts[1] == mine:
                continue
            other = parts[1]
            if other in OUTSIDE:
                continue
            if other not in MODULES or MODULES.index(other) > MODULES.index(mine):
                found.append(f"{path}:{line} imports {name}")
    assert not found


def test_every_module_folder_is_in_the_list() -> None:
    folders = {p.parent.name for p in SRC.glob("*/schema.sql")}
    assert folders <= set(MODULES)


def test_the_sandbox_and_the_product_know_nothing_of_each_other() -> None:
    sandbox = SRC.parent / "fondaco_sandbox"
    assert not [
        p for p in sandbox.rglob("*.py") if re.search(r"^\s*(from|import) fondaco\b", p.read_text(), re.M)
    ]
    assert not [
        f"{path}:{line}"
        for path, tree in trees().items()
        for name, line in imports(tree)
        if name.split(".")[0] == "fondaco_sandbox"
    ]


def test_functions_are_short() -> None:
    sandbox = {p: ast.parse(p.read_text()) for p in (SRC.parent / "fondaco_sandbox").rglob("*.py")}
    found = [
        f"{path}:{f.lineno} {f.name} {f.end_lineno - f.lineno + 1}"
        for path, tree in [*trees().items(), *sandbox.items()]
        for f in functions(tree)
        if f.end_lineno is not None and f.end_lineno - f.lineno + 1 > 70
    ]
    assert not found


def test_no_file_is_called_service_and_none_is_too_long() -> None:
    found = [str(p) for p in trees() if p.stem.startswith(("service", "utils", "helpers", "misc"))]
    found += [str(p) for p in trees() if (SRC / p).read_text().count("\n") > 450]
    assert not found
