"""Law 10. What can fail says so in words; what is missing in the configuration stops the start."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys

import pytest

import fondaco
from fondaco.core.problem import all_problems
from fondaco.settings import Settings


def load_everything() -> None:
    for info in pkgutil.walk_packages(fondaco.__path__, "fondaco."):
        if "migrations" not in info.name and not info.name.endswith("__main__"):
            importlib.import_module(info.name)


def test_every_problem_has_a_code_of_its_own_and_a_sentence() -> None:
    load_everything()
    problems = all_problems()
    assert len(problems) > 15
    for problem in problems:
        words = (problem.__doc__ or "").strip()
        assert words and words[0].isupper() and words.endswith((".", "?")), problem
        assert re.fullmatch(r"[a-z][a-z0-9_]*", problem.code)
        assert 400 <= problem.status <= 599
    stack, codes = [fondaco.core.problem.Problem], []  # type: ignore[attr-defined]
    while stack:
        cls = stack.pop()
        stack.extend(cls.__subclasses__())
        codes.append(cls.code)
    assert len(codes) == len(set(codes))


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name


@pytest.mark.parametrize("command", ["web", "worker"])
def test_missing_settings_stop_the_start_all_at_once(command: str, tmp_path: object) -> None:
    bare = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    run = subprocess.run(
        [sys.executable, "-m", "fondaco", command],
        env=bare,
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    said = run.stdout + run.stderr
    for name in ("DATABASE_URL", "SECRET_KEY", "VAULT_KEYS", "STRIPE_WEBHOOK_SECRETS"):
        assert name in said
    assert "Traceback" not in said
