"""`python -m netvlad_core` is `netvlad`."""

import sys

from netvlad_core.cli import main

sys.exit(main())
