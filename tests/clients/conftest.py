"""Stories told with several clients: their assertions are explained as those of tests are."""

import pytest

pytest.register_assert_rewrite("story", "callers")
