"""`python -m voxaffect` is the `voxaffect` command."""

from __future__ import annotations

import sys

from voxaffect.cli import main

if __name__ == "__main__":
    sys.exit(main())
