"""What can be wrong with a RunPython operation, which no SQL shows. Needs nothing but the standard library."""

import ast
import inspect
import textwrap
from typing import Any, Callable, Iterator, List, NamedTuple, Optional


class Finding(NamedTuple):
    """``rule`` is what django-migration-linter calls it; ``line`` is that of the file the function stands in, 0 if it is not known."""

    rule: str
    severity: str
    message: str
    line: int


def look_at(operation: Any) -> List[Finding]:
    """Of a RunPython: anything with ``code`` and ``reverse_code``."""
    found: List[Finding] = []
    if operation.reverse_code is None:
        found.append(
            Finding("RUNPYTHON_REVERSIBLE", "warning", "RunPython without reverse_code cannot be reverted; RunPython.noop says that nothing has to be done", _line(operation.code))
        )
    for function in (operation.code, operation.reverse_code):
        if function is not None:
            found.extend(_look_at_function(function))
    return found


def _line(function: Callable[..., Any]) -> int:
    return getattr(getattr(function, "__code__", None), "co_firstlineno", 0)


def _look_at_function(function: Callable[..., Any]) -> Iterator[Finding]:
    name = getattr(function, "__name__", "?")
    tree = _tree(function)
    if tree is None:  # built in, or its source is not there
        return
    first = _line(function)
    named = [argument.arg for argument in tree.args.args]
    if name != "noop" and (len(named) < 2 or named[0] != "apps" or named[1] not in ("schema_editor", "_schema_editor")):
        yield Finding("RUNPYTHON_ARGS_NAMING_CONVENTION", "note", f"{name}() should take (apps, schema_editor), as every reader expects", first)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and ("models" in (node.module or "").split(".") or (node.level and any(one.name == "models" for one in node.names))):
            yield Finding(
                "RUNPYTHON_MODEL_IMPORT", "error",
                f"{name}() imports models as they are today, and the migration runs with those of its own time: apps.get_model() gives them", first + node.lineno - 1,
            )  # fmt: skip
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            model = _model_asked_for(node.value)
            if model and model.replace("_", "").lower() != node.targets[0].id.replace("_", "").lower():
                yield Finding("RUNPYTHON_MODEL_VARIABLE_NAME", "note", f"{name}() calls the model {model} {node.targets[0].id}", first + node.lineno - 1)


def _tree(function: Callable[..., Any]) -> "Optional[ast.FunctionDef]":
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # SyntaxError: a lambda within an expression
        return None
    return next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)


def _model_asked_for(call: ast.expr) -> str:
    """The model's name in apps.get_model("app", "Model") or apps.get_model("app.Model")."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "get_model":
        return ""
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "model_name")]
    texts = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return texts[-1].rpartition(".")[2] if texts else ""
