"""A till at one sandbox for all tests of this folder."""

from tests.wallets.conftest import running, till

__all__ = ["running", "till"]
