"""What several test files share; pytest puts `tests/` on the path of imports, so that it is `helpers` everywhere."""

import pkgutil

import pytest

# Asserts of helpers tell their values as those of tests do.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
