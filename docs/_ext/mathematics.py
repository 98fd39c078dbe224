"""Formulas as MathML, written when the page is built: a browser needs neither a script nor a network for them."""

from docutils.nodes import SkipNode

from exactdiffusion.studies.report import mathml


def _inline(self, node):
    self.body.append(mathml(node.astext()))
    raise SkipNode


def _display(self, node):
    for formula in node.astext().split("\n\n"):
        if formula.strip():
            self.body.append(f'<div class="formula">{mathml(formula, display=True)}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
