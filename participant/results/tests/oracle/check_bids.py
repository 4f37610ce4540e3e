"""Whether the validator of BIDS finds no error in a data set, and whether it looked at it.

    check_bids.py FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

validator = Path(sys.executable).parent / "bids-validator-deno"
told = subprocess.run([validator, sys.argv[1], "--format", "json"], capture_output=True, text=True)
report = json.loads(told.stdout)
issues = report["issues"]["issues"]
errors = [issue for issue in issues if issue["severity"] == "error"]
for error in errors:
    print(error)
images = list(Path(sys.argv[1]).rglob("*.nii.gz"))
assert report["summary"]["totalFiles"] >= 4 + 2 * len(images), report["summary"]
assert images and not errors and told.returncode == 0, told.returncode
print(f"the validator of BIDS: no error, {len(issues) - len(errors)} warnings, {len(images)} images")
