"""The tutorials run from start to end, and are committed as they ran."""

from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_tutorials():
    assert {path.stem for path in NOTEBOOKS} >= {
        "atlas_in_ten_minutes",
        "atlases_of_real_data",
        "compare_optimizers",
        "deblurring_on_the_manifold_of_bars",
        "electrical_impedance_tomography",
        "geodesics_means_and_curvature",
        "latent_spheres_and_rotations",
        "when_the_topology_is_unknown",
        "which_latent_manifold",
        "which_optimizer",
        "your_own_pymanopt_problem",
    }


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_outputs_are_committed_and_the_picture_comes_first(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    assert f"(figures/{path.stem}.png)" in first
    assert (FOLDER / "figures" / f"{path.stem}.png").read_bytes()[:4] == b"\x89PNG"
    assert last.startswith("## What to try next")
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


# What one tutorial leaves must not help or hinder the next: names, figures, and torch's dtype and
# the logging that geomstats sets.
FRESH = """%reset -f
import logging, matplotlib.pyplot, torch
matplotlib.pyplot.close("all")
torch.set_default_dtype(torch.float32)
logging.root.handlers.clear()
logging.root.setLevel(logging.WARNING)
%reset -f"""


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all: torch, scikit-learn and lightning take it seconds to import."""
    manager = KernelManager()
    manager.start_kernel(cwd=str(FOLDER))
    yield manager
    manager.shutdown_kernel(now=True)


def test_a_tutorial_runs(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FRESH))
    # About a minute is what a tutorial promises; the limit here is for one cell on a busy machine.
    client = NotebookClient(notebook, km=kernel, timeout=300, startup_timeout=240)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output.get("text")
