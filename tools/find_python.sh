#!/bin/sh
# Print the path of the first Python that can carry the development environment, or say why there is none.
# usage: find_python.sh [PYTHON]   (PYTHON: the only one to try)

check='
import os, sys, sysconfig
version = sys.version_info[:2]
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
if not (3, 11) <= version <= (3, 13):
    sys.exit("is Python %d.%d" % version)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("has no venv module (Debian, Ubuntu: apt install python3-venv)")
if not os.path.exists(header):
    sys.exit("has no Python.h (Debian, Ubuntu: apt install python3-dev)")
if sys.prefix != sys.base_prefix:
    print(os.path.join(sys.base_prefix, "bin", "python%d.%d" % version))
else:
    print(sys.executable)
'

tried=""
for python in ${1:-python3 python3.13 python3.12 python3.11}; do
    if found=$("$python" -c "$check" 2>&1); then
        echo "$found"
        exit 0
    fi
    tried="$tried
    $python: $(printf '%s' "$found" | tail -n 1)"
done
echo "No suitable Python found. Needed: 3.11, 3.12 or 3.13 with venv and headers. Tried:$tried
Install one, or name one with: make PYTHON=/path/to/python3.12 ..." >&2
exit 1
