"""Logs: no secret by name, by shape or by type; no line that forges another; nothing endless."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from fondaco.logs import LONGEST, clean_text, redact, setup_logs
from fondaco.settings import Mode, Settings

CANARIES = [
    "sk_live_51Habcdefghijklmnop",
    "whsec_abcdefghijklmnopqrstuvwx",
    "fk_Zm9vYmFyYmF6cXV4cXV1eA",
    "Bearer eyJhbGciOi.abc-def",
    "postgresql://shop:hunter2secret@db.local/x",
    "mail to ann@example.com failed",
    "code ABCDE-FGHJK-12345 was sold",
]


@pytest.mark.parametrize("text", CANARIES)
def test_known_shapes_are_hidden(text: str) -> None:
    found = clean_text(f"before {text} after")
    assert "[hidden]" in found
    assert found.startswith("before")
    assert found.endswith("after")
    for part in ("51Habc", "abcdefghijk", "Zm9v", "eyJh", "hunter2", "ann@", "FGHJK"):
        assert part not in found


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "secret_key", "token", "api_key", "Authorization", "cookie", "code", "email",
     "recovery_codes", "body", "sealed", "dsn", "totp_key"],
)  # fmt: skip
def test_fields_with_telling_names_are_hidden(name: str) -> None:
    assert redact(None, "", {name: "canary"}) == {name: "[hidden]"}
    assert redact(None, "", {"inner": {name: ["canary"]}}) == {"inner": {name: "[hidden]"}}


def test_what_helps_stays() -> None:
    event: dict[str, Any] = {
        "event": "job_failed",
        "task": "inbox.handle",
        "n": 3,
        "order": "ORD-7K3Q-9XMA-2D4T",
        "ref": "order:01930000-0000-7000-8000-000000000000",
        "ok": None,
    }
    assert redact(None, "", dict(event)) == event


def test_types_that_hold_secrets_are_hidden() -> None:
    found = redact(None, "", {"a": SecretStr("canary"), "b": b"canary", "c": [SecretStr("canary")]})
    assert "canary" not in str(found)


def test_no_value_can_forge_a_line_or_the_terminal() -> None:
    found = clean_text("a\nb\r\x1b[31mred\x00\u2028\u202e")
    assert found.isprintable()
    assert "\\n" in found


def test_nothing_is_endless() -> None:
    deep: Any = "x"
    for _ in range(50):
        deep = {"k": deep}
    found = redact(None, "", {"long": "x" * 10**6, "deep": deep, "many": list(range(10**4))})
    assert len(str(found)) < 3 * LONGEST


@pytest.fixture
def production_logs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    monkeypatch.setattr("sys.stderr", out)
    setup_logs(settings.model_copy(update={"fondaco_mode": Mode.PRODUCTION}))
    yield out
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_production_writes_one_json_object_a_line(production_logs: io.StringIO) -> None:
    structlog.get_logger().error("job_failed", password="canary", task="a\nb")
    try:
        raise ValueError("canary in an exception's words")
    except ValueError:
        logging.getLogger("some.library").exception("it broke for %s", "ann@example.com")
    lines = production_logs.getvalue().splitlines()
    ours, theirs = (json.loads(line) for line in lines)
    assert ours["event"] == "job_failed"
    assert ours["level"] == "error"
    assert ours["at"].endswith("Z")
    assert theirs["event"] == "it broke for [hidden]"
    assert theirs["error"] == "ValueError"
    assert "canary" not in production_logs.getvalue()
