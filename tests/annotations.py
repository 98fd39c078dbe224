"""What the modules of the package say of themselves: ``__all__``, and the annotations of their public functions.

`test_house.py` asks for both in the modules to which nobody adds by a decorator, `quality/test_annotations.py` in all: a new
sampler or statement turns no test of `make test` red for want of them.
"""

import ast

#: decorators by which a contributor adds to the file, or adds the file
REGISTERING = {"example", "metric", "sampler", "schedule", "statement", "target"}


def registers(path):
    """Whether a function at the top of the file has one of the registering decorators."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for decorator in getattr(node, "decorator_list", ()):
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            names.add(call.id if isinstance(call, ast.Name) else None)
    return bool(names & REGISTERING)


def _public_functions(body, prefix="", method=False):
    """Qualified name, node and whether the first argument is the object, of what has no leading underscore."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body, f"{prefix}{node.name}.", method=True)
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name in ("__init__", "__call__")):
            static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
            yield prefix + node.name, node, method and not static


def unannotated(source):
    """(arguments of public functions, what of them and of the results has no annotation) of a module's source."""
    missing, count = [], 0
    for function, node, bound in _public_functions(ast.parse(source).body):
        named = [*node.args.posonlyargs, *node.args.args][bound:]
        arguments = [*named, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
        count += len(arguments)
        missing += [f"{function}: {a.arg}" for a in arguments if a.annotation is None]
        if node.returns is None:
            missing.append(f"{function}: the return value")
    return count, missing
