"""PostgreSQL for one machine: found among the installed packages, started, watched and stopped by us.

Invariants: no `trust` anywhere; the socket folder is private to one account; the server ends when the
process that started it ends, however that happens; one data folder has one user at a time; the
application's role owns nothing.
"""

from fondaco.embedded.account import ClusterError
from fondaco.embedded.cluster import Cluster
from fondaco.embedded.roles import Endpoints

__all__ = ["Cluster", "ClusterError", "Endpoints"]
