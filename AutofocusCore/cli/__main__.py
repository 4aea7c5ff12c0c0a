"""`python -m AutofocusCore.cli`, for environments without the script `autofocus` on the path."""

import sys

from AutofocusCore.cli import main

if __name__ == "__main__":
    sys.exit(main())
