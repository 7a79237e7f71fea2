"""Every command of scripts/, for Python: python launch.py <command> [arguments]. See launcher/main.py."""

import sys

from launcher.main import main

if __name__ == "__main__":
    sys.exit(main())
