#!/bin/bash
# Pin every package that requirements/*.txt ask for and pull in, with the hashes of its files, by uv in an environment of
# its own. Versions stay as they are locked, unless they no longer fit or --upgrade is given.
set -eu
uv=.build/uv
[ -x $uv/bin/uv ] || { "$(tools/find_python.sh)" -m venv $uv && $uv/bin/pip install -qq uv==0.13.9; }
cd requirements
compile() {
    ../$uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --custom-compile-command "make lock" "$@"
}
# torch is left out wherever it is asked for: see torch.txt.
compile "$@" runtime.txt develop.txt fleet.txt ros.txt --overrides <(echo 'torch; python_version < "3"') --output-file locked.txt
compile "$@" docs.txt --constraints locked.txt --output-file locked-docs.txt
