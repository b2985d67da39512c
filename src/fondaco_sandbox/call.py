"""One API request on its way to its handler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fondaco_sandbox.box import Sandbox
from fondaco_sandbox.errors import no_such, unsupported
from fondaco_sandbox.store import Obj, of


@dataclass(slots=True)
class Call:
    """What a handler gets: checked parameters, the id in the address, and where the sandbox is reached.

    `account`: the connected account on whose behalf it is asked; None for the platform itself.
    """

    box: Sandbox
    params: Obj
    id: str
    base_url: str
    account: str | None = None

    def of(self, kind: str) -> str:
        """The kind of object, of whom it is asked for."""
        return of(self.account, kind)

    def only(self, *names: str) -> None:
        """Refuse parameters that Stripe takes and the sandbox does not act upon."""
        for name in self.params:
            if name not in names and name != "expand":
                raise unsupported(f"the parameter {name} here", name)

    def object(self, kind: str) -> Obj:
        """The object named in the address."""
        body = self.box.store.get(self.of(kind), self.id)
        if body is None:
            raise no_such(kind, self.id)
        return body

    def named(self, kind: str, param: str) -> Obj | None:
        """The object that a parameter names; None when the parameter is not given."""
        if param not in self.params:
            return None
        body = self.box.store.get(self.of(kind), self.params[param])
        if body is None or body.get("deleted"):
            raise no_such(kind, self.params[param], param)
        return body


Handler: TypeAlias = Callable[[Call], Obj]
