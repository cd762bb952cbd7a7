"""What imports what: no circles between files, and nothing from a lower floor to a higher one."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "learnedmanifolds"
ROOT = Path(__file__).parent.parent / PACKAGE

# From the ground up; rooms of one floor do not import each other.
FLOORS = (
    {"_convert", "_grad", "_moved"},
    {"_check", "_geomstats"},
    {"_random", "_half", "_record", "_panels"},
    {"datasets"},
    {"charts"},
    {"geometry"},
    {"atlas"},
    {"files"},
    {"manifolds"},
    {"latent"},
    {"training"},
    {"learning"},
    {"diffusion"},
    {"operators"},
    {"optimizers"},
    {"inverse"},
    {"models"},
    {"checks"},
    {"metrics"},
    {"plot"},
    {"demo"},
    {"cli"},
    {""},
)


@dataclass(frozen=True)
class Import:
    source: str
    target: str
    types_only: bool


def floor(module):
    room = module.removeprefix(PACKAGE).lstrip(".").split(".")[0]
    (height,) = (height for height, rooms in enumerate(FLOORS) if room in rooms)
    return height


def imports_in(source, text, modules):
    """Imports of the package in a module, at its top and within functions."""
    found = []

    def visit(node, types_only):
        for child in ast.iter_child_nodes(node):
            guarded = types_only or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            )
            names = []
            if isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
                names = [
                    f"{child.module}.{alias.name}"
                    if f"{child.module}.{alias.name}" in modules
                    else child.module
                    for alias in child.names
                ]
            elif isinstance(child, ast.ImportFrom):
                raise AssertionError(f"{source} imports relatively, which this test does not read.")
            elif isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.Call) and ast.unparse(child.func).endswith("import_module"):
                names = [a.value for a in child.args if isinstance(a, ast.Constant)]
            found.extend(
                Import(source, name, guarded) for name in names if name.split(".")[0] == PACKAGE
            )
            visit(child, guarded)

    visit(ast.parse(text), False)
    return found


def all_imports():
    modules = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        modules[".".join(parts).removesuffix(".__init__")] = path
    return [
        found
        for name, path in modules.items()
        for found in imports_in(name, path.read_text(), modules)
    ]


def circles(edges):
    """Files that a chain of imports leads back to: what is left after peeling off the others."""
    edges = {(source, target) for source, target in edges if source != target}
    while True:
        sources, targets = {s for s, _ in edges}, {t for _, t in edges}
        kept = {(s, t) for s, t in edges if t in sources and s in targets}
        if kept == edges:
            return edges
        edges = kept


@pytest.fixture(scope="module")
def found():
    return all_imports()


def test_every_room_has_a_floor(found):
    assert len(found) > 800
    for edge in found:
        floor(edge.source), floor(edge.target)


def test_no_circle_between_files(found):
    assert not circles((e.source, e.target) for e in found if not e.types_only)


def test_no_import_from_a_lower_floor_to_a_higher_one(found):
    upward = [e for e in found if floor(e.target) > floor(e.source)]
    assert not upward


def test_an_import_within_a_function_and_a_circle_are_seen():
    modules = {f"{PACKAGE}.charts.a", f"{PACKAGE}.atlas.b"}
    text = f"def f():\n    from {PACKAGE}.atlas import b\n"
    (edge,) = imports_in(f"{PACKAGE}.charts.a", text, modules)
    assert (edge.target, edge.types_only) == (f"{PACKAGE}.atlas.b", False)
    assert floor(edge.target) > floor(edge.source)
    text = f"if TYPE_CHECKING:\n    import {PACKAGE}.charts.a\n"
    (edge,) = imports_in(f"{PACKAGE}.atlas.b", text, modules)
    assert edge.types_only
    assert circles([("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]) == {("b", "c"), ("c", "b")}
    assert not circles([("a", "b"), ("a", "c"), ("b", "c")])
