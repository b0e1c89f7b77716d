"""The score of one run of the MCP conformance suite: `score.py REQUIREMENTS.yaml REPORTS`.

Prints one line for the revision, and one for each check that did not pass. Exits 0 only when every scenario that
counts for the revision was run and none of its checks failed or warned. What does not count (extensions, what the
suite's own fixtures cannot pass yet) is told beside it.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path


def scenarios(requirements: str) -> tuple[list[str], list[str]]:
    """The server's scenarios of a revision: those that count, and those that are only run."""
    counted = re.search(r"^server:\n((?:  - .*\n)+)", requirements, re.MULTILINE)
    if counted is None:
        sys.exit("score: the requirements name no server scenarios")
    told = re.findall(r"- scenario: (\S+)\n    leg: server", requirements)
    return re.findall(r"- (\S+)", counted[1]), told


def checks(reports: Path, scenario: str) -> list[dict]:
    """All checks of a scenario; its folder's name ends with the time of the run."""
    time = re.compile(rf"server-{re.escape(scenario)}-\d{{4}}-\d\d-\d\dT[\d-]+Z$")
    files = [folder / "checks.json" for folder in reports.iterdir() if time.match(folder.name)]
    return [check for file in files if file.exists() for check in json.loads(file.read_text())]


def main() -> int:
    requirements, reports = Path(sys.argv[1]), Path(sys.argv[2])
    counted, told = scenarios(requirements.read_text())
    statuses: Counter = Counter()
    misses: list[str] = []
    whole = 0
    for scenario in counted:
        ran = checks(reports, scenario) if reports.is_dir() else []
        statuses.update(check["status"] for check in ran)
        missed = [check for check in ran if check["status"] in ("FAILURE", "WARNING")]
        misses += [f"{scenario}: {check['id']}: {check.get('errorMessage', check['status'])}" for check in missed]
        if not any(check["status"] == "SUCCESS" for check in ran):
            misses.append(f"{scenario}: no check passed; was it run?")
        elif not missed:
            whole += 1
    passed_too = sum(
        any(check["status"] == "SUCCESS" for check in ran) and not any(check["status"] == "FAILURE" for check in ran)
        for ran in (checks(reports, scenario) if reports.is_dir() else [] for scenario in told)
    )
    passed, failed, warned = statuses["SUCCESS"], statuses["FAILURE"], statuses["WARNING"]
    print(
        f"{requirements.stem}: {whole} of {len(counted)} scenarios, {passed} of {passed + failed + warned} checks passed, "
        f"{failed} failed, {warned} warned (not scored: {passed_too} of {len(told)} scenarios)"
    )
    for miss in misses:
        print(f"  {miss}")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
