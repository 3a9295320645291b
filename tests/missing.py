"""Python code for processes in which a package cannot be imported."""

_BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r} or name.startswith({name!r} + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Missing())
"""


def without(name):
    """Code after which imports of a name fail as if it were not installed."""
    return _BLOCK.format(name=name)
