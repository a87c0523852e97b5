"""Scripts and benchmarks, which stand outside the package, still find in it what they ask for."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
READ = """
import sys
from runpy import run_path
for file in sys.argv[1:]:
    sys.path[0] = file.rpartition("/")[0]
    run_path(file, run_name="read")
"""


def test_every_script_can_be_read() -> None:
    files = [path.as_posix() for folder in ("scripts", "benchmarks") for path in sorted((ROOT / folder).glob("*.py"))]
    done = subprocess.run([sys.executable, "-c", READ, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
