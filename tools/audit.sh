#!/bin/bash
# Known vulnerabilities of what is installed in .venv, by pip-audit in an environment of its own. Status 1 if there are any;
# if no database can be asked, one sentence and status 0.
set -u
audit=.build/audit
skip() { echo "no check for known vulnerabilities: $1" >&2; exit 0; }
[ -x $audit/bin/pip-audit ] || { .venv/bin/python -m venv $audit && $audit/bin/pip install -qq pip-audit > $audit/log 2>&1; } \
    || skip "pip-audit cannot be installed; is there a network? ($audit/log)"
for database in pypi osv; do
    $audit/bin/pip-audit --progress-spinner off --format json --vulnerability-service $database \
        --path .venv/lib/python*/site-packages > $audit/report.json 2> $audit/log
    # pip-audit says "no known vulnerabilities" of packages, too, that it could not look up.
    $audit/bin/python - $audit/report.json <<'END' && exit 0 || [ $? = 2 ] || exit 1
import json, sys

try:
    found = json.load(open(sys.argv[1]))["dependencies"]
except ValueError:  # empty: the database cannot be reached
    sys.exit(2)
checked = [package for package in found if "skip_reason" not in package]
bad = [package for package in checked if package["vulns"]]
for package in bad:
    for known in package["vulns"]:
        fixed = ", ".join(known["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {known['id']}, mended in {fixed}")
if checked:
    print(f"{len(checked)} of {len(found)} packages looked up, {len(bad)} with known vulnerabilities")
sys.exit(bool(bad) if checked else 2)
END
done
skip "neither the package index nor OSV can be asked from here; is there a network? ($audit/log)"
