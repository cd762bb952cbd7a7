"""The README's Python, block after block in one program, as a reader would run it."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"

# The first four blocks run as they stand. Of the later ones trainings are shortened and data fewer,
# so that only their code is tried, not what the README says of the results; each text must be there.
SHORTER = {
    "max_epochs=40": "max_epochs=3",
    "learning_rate=5e-3).print()": "learning_rate=5e-3, max_epochs=3).print()",
    "sample((2000,))": "sample((200,))",
    "torch.randn(2000, 6)": "torch.randn(200, 6)",
    "max_steps=2000": "max_steps=100",
    "sample(2000, noise": "sample(600, noise",
    "sample(1000, seed=1)": "sample(200, seed=1)",
    "random_point(100)": "random_point(20)",
}

# What must hold after a block, by a line of it.
AFTER = {
    "def cost(point)": "assert abs((result.point @ result.point) ** 0.5 - 0.5) < 0.01",
    "lm.load(": "assert atlas.quality(x).healthy and lm.dimension(x).value == 1",
    "comparison.print()": (
        "assert all(run.status.name == 'CONVERGED' "
        "for s in comparison.solutions.values() for run in s.runs)"
    ),
    'pretrained("bars-32")': "assert lm.metrics.psnr(solution.point, truth) > 25",
    "GeomstatsManifold(atlas)": "assert distances.isinf().any() and mean.isfinite().all()",
}
FIGURES = {"atlas.png", "convergence.png", "bar.png", "walks.png"}


def program():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    parts = []
    for block in blocks:
        checks = [check for line, check in AFTER.items() if line in block]
        parts.append("\n".join([block, *checks]))
    code = "\n".join(parts)
    for long, short in SHORTER.items():
        assert long in code, f"the README no longer says {long}"
        code = code.replace(long, short)
    assert all(check in code for check in AFTER.values())
    return code


def test_the_code_of_the_readme_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", program()],
        env={**os.environ, "GEOMSTATS_BACKEND": "pytorch"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.png")} == FIGURES
