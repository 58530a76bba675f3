"""Runs a program that ends when the process that started it does, however that ends.

`python -m app.child PROGRAM ARGS…`: asks Linux for a SIGTERM at its parent's death, then becomes the program.
Elsewhere it only becomes the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Binds this process's life to its parent's and becomes the program."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):
            return  # it died before we could ask
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
