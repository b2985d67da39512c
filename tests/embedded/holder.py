"""A program that starts a cluster, says its process ids, and waits to be killed."""

import json
import sys
from pathlib import Path

from fondaco.embedded import Cluster, ClusterError


def main() -> None:
    cluster = Cluster(Path(sys.argv[1]))
    try:
        endpoints = cluster.start()
    except ClusterError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    print(json.dumps({"owner_dsn": endpoints.owner_dsn, "app_dsn": endpoints.app_dsn}), flush=True)
    sys.stdin.read()
    cluster.stop()


if __name__ == "__main__":
    main()
