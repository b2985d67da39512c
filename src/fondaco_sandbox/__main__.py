"""`python -m fondaco_sandbox`: start the sandbox."""

import sys

from fondaco_sandbox.cli import main

if __name__ == "__main__":
    sys.exit(main())
