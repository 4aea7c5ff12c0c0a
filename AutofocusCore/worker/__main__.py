"""`python -m AutofocusCore.worker` starts a worker; the protocol is described in protocol.py."""

from __future__ import annotations

from AutofocusCore.worker.protocol import main

if __name__ == "__main__":
    main()
