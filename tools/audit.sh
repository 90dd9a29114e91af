#!/bin/bash
# Known vulnerabilities of what is installed in .venv, by pip-audit in an environment of its own. Status 1 if there are any;
# without a network, or where nothing could be looked up, one sentence and status 0.
set -u
audit=.build/audit
skip() { echo "no check for known vulnerabilities: $1" >&2; exit 0; }
[ -x $audit/bin/pip-audit ] || { .venv/bin/python -m venv $audit && $audit/bin/pip install -qq pip-audit > /dev/null 2>&1; } \
    || skip "pip-audit cannot be installed; is there a network?"
$audit/bin/pip-audit --progress-spinner off --format json --path .venv/lib/python*/site-packages \
    > $audit/report.json 2> $audit/log || [ -s $audit/report.json ] || skip "$(tail -1 $audit/log)"
# pip-audit finds "no known vulnerabilities" in packages that it could not look up.
$audit/bin/python - $audit/report.json <<'END'
import json, sys

found = json.load(open(sys.argv[1]))["dependencies"]
checked = [package for package in found if "skip_reason" not in package]
bad = [package for package in checked if package["vulns"]]
for package in bad:
    print(package["name"], package["version"], *(entry["id"] for entry in package["vulns"]))
if checked:
    print(f"{len(checked)} of {len(found)} packages looked up, {len(bad)} with known vulnerabilities")
else:
    print(f"no check for known vulnerabilities: none of {len(found)} packages could be looked up")
sys.exit(bool(bad))
END
