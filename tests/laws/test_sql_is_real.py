"""Every whole SQL text of the product is prepared against the real schema, as the application's role."""

import ast
import re
from collections.abc import Iterator

import asyncpg

from fondaco.embedded import Endpoints
from tests.laws.source import trees
from tests.support.bouncer import direct_dsn

STATEMENT = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s")
NOT_OURS = ("embedded", "migrations", "demo")


def whole_texts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Text literals that are not put together with others: neither inside an f-string, a sum or a list, nor
    bound to a name that is."""
    joined = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr | ast.BinOp | ast.List)]
    parts = {id(c) for j in joined for c in ast.walk(j)}
    names = {c.id for j in joined for c in ast.walk(j) if isinstance(c, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id in names for t in node.targets
        ):
            parts.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value, node.lineno


async def test_every_statement_can_be_prepared(endpoints: Endpoints) -> None:
    connection = await asyncpg.connect(direct_dsn(endpoints))
    checked, faults = 0, list[str]()
    try:
        for path, tree in trees().items():
            for text, line in whole_texts(tree):
                if path.parts[0] in NOT_OURS or not STATEMENT.match(text) or not re.search(r"[.(]", text):
                    continue
                try:
                    await connection.prepare(text)
                except (asyncpg.IndeterminateDatatypeError, asyncpg.AmbiguousParameterError):
                    pass  # known to PostgreSQL but for the type of a parameter
                except asyncpg.PostgresError as error:
                    if " " in text.strip():
                        faults.append(f"{path}:{line} {error}")
                checked += 1
    finally:
        await connection.close()
    assert not faults, "\n".join(faults)
    assert checked > 50
