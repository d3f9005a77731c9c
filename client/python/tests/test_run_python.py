"""What is found in a RunPython operation, each beside its near miss."""

import unittest
from typing import Any, Callable, Optional, Set

from syzygy_client.run_python import look_at


class Operation:
    def __init__(self, code: Callable[..., Any], reverse_code: Optional[Callable[..., Any]] = None) -> None:
        self.code, self.reverse_code = code, reverse_code


def noop(apps: Any, schema_editor: Any) -> None:
    return None


def good(apps: Any, schema_editor: Any) -> None:
    from datetime import date  # noqa: F401

    Order = apps.get_model("shop", "Order")  # noqa: F841
    order_line = apps.get_model("shop.OrderLine")  # noqa: F841


def imports(apps: Any, schema_editor: Any) -> None:
    from shop.models import Order  # noqa: F401


def imports_by_the_package(apps: Any, schema_editor: Any) -> None:
    from . import models  # noqa: F401


def misnames(apps: Any, schema_editor: Any) -> None:
    orders = apps.get_model("shop", model_name="Order")  # noqa: F841


def other_arguments(registry: Any, editor: Any) -> None:
    return None


def rules(code: Callable[..., Any], reverse_code: Optional[Callable[..., Any]] = noop) -> Set[str]:
    return {finding.rule for finding in look_at(Operation(code, reverse_code))}


class RunPythonTest(unittest.TestCase):
    def test_each_rule_fires_alone(self) -> None:
        self.assertEqual(rules(good), set())
        self.assertEqual(rules(good, None), {"RUNPYTHON_REVERSIBLE"})
        self.assertEqual(rules(imports), {"RUNPYTHON_MODEL_IMPORT"})
        self.assertEqual(rules(imports_by_the_package), {"RUNPYTHON_MODEL_IMPORT"})
        self.assertEqual(rules(misnames), {"RUNPYTHON_MODEL_VARIABLE_NAME"})
        self.assertEqual(rules(other_arguments), {"RUNPYTHON_ARGS_NAMING_CONVENTION"})
        self.assertEqual(rules(good, imports), {"RUNPYTHON_MODEL_IMPORT"})

    def test_the_place_is_the_line_of_the_file(self) -> None:
        (found,) = look_at(Operation(imports, noop))
        with open(__file__) as file:
            self.assertIn("from shop.models import", file.readlines()[found.line - 1])

    def test_what_has_no_source_is_left_alone(self) -> None:
        self.assertEqual(rules(print), set())
        self.assertEqual(rules(lambda apps, schema_editor: None), set())


if __name__ == "__main__":
    unittest.main()
