"""Law 2. Only adapters call out, and never inside a database transaction."""

import ast
from pathlib import Path

from tests.laws.source import functions, imports, trees

CALLS_OUT = ("stripe", "aiosmtplib", "smtplib", "httpx", "requests", "urllib.request", "obstore", "easypost")
GATEWAYS = ("StripeGateway", "Mailer", "Blobs")


def test_only_integrations_import_what_calls_out() -> None:
    allowed = ("integrations", "embedded", "up", "demo", "chaos", "doctor.py", "migrations")
    found = [
        f"{path}:{line} {name}"
        for path, tree in trees().items()
        if path.parts[0] not in allowed
        for name, line in imports(tree)
        if name.split(".")[0] in CALLS_OUT or name in CALLS_OUT
    ]
    assert not found


def _opens_transaction(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncWith) and any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "transaction"
        for item in node.items
        for call in ast.walk(item.context_expr)
    )


def _gateway_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names in a function that hold a gateway: annotated arguments, or taken from parts."""
    names = {
        a.arg
        for a in [*function.args.args, *function.args.kwonlyargs]
        if a.annotation is not None and any(g in ast.unparse(a.annotation) for g in GATEWAYS)
    }
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(g in ast.unparse(node.value) for g in GATEWAYS):
            names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return names


def calls_inside_transactions(path: Path, tree: ast.AST) -> list[str]:
    found: list[str] = []
    for function in functions(tree):
        names = _gateway_names(function)
        for block in (n for n in ast.walk(function) if _opens_transaction(n)):
            for node in ast.walk(block):
                if (
                    isinstance(node, ast.Await)
                    and isinstance(node.value, ast.Call)
                    and isinstance(node.value.func, ast.Attribute)
                    and isinstance(node.value.func.value, ast.Name)
                    and node.value.func.value.id in names
                ):
                    found.append(f"{path}:{node.lineno}")
    return found


def test_no_provider_is_called_inside_a_transaction() -> None:
    assert not [fault for path, tree in trees().items() for fault in calls_inside_transactions(path, tree)]


def test_this_check_can_fail() -> None:
    bad = ast.parse(
        "async def f(db, gateway: StripeGateway):\n"
        "    async with db.transaction(SYSTEM) as conn:\n"
        "        await gateway.create_refund(1)\n"
    )
    assert calls_inside_transactions(Path("x"), bad) == ["x:3"]
