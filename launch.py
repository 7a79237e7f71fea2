"""Every command of scripts/, for Python: python launch.py <command> [arguments]. See launcher/main.py."""

import sys

from common.threads import wait_passively
from launcher.main import main

if __name__ == "__main__":
    wait_passively()
    sys.exit(main())
