"""`python -m AutofocusCore.cli`, for where the script `autofocus` is not on the path."""

import sys

from AutofocusCore.cli import main

if __name__ == "__main__":
    sys.exit(main())
