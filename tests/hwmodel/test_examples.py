"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import hwmodel

MODULES = [module.name for module in pkgutil.iter_modules(hwmodel.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_give_what_they_show(name):
    """Every example prints exactly the output beside it."""
    found = doctest.testmod(importlib.import_module(f"hwmodel.{name}"))
    assert found.failed == 0


def test_examples_of_the_package_give_what_they_show():
    """The first lines that a reader tries work."""
    found = doctest.testmod(hwmodel)
    assert found.failed == 0
    assert found.attempted > 0
