"""The record of a statement and the decorator that files it."""

import inspect
from dataclasses import dataclass

#: short name -> (authors, title, where)
PAPERS = {
    "foundations": ("Robbins 1956; Miyasawa 1961; Efron 2011", "Tweedie's formula", "classical"),
    "projection": (
        "Permenter & Yuan",
        "Interpreting and Improving Diffusion Models from an Optimization Perspective",
        "ICML 2024, arXiv 2306.04848",
    ),
    "proximal": (
        "Fang, Diaz, Buchanan & Sulam",
        "Beyond Scores: Proximal Diffusion Models",
        "NeurIPS 2025, arXiv 2507.08956",
    ),
    "conditional_mean": (
        "Fesl, Boeck, Strasser, Baur, Joham & Utschick",
        "On the Asymptotic Mean Square Error Optimality of Diffusion Models",
        "AISTATS 2025, arXiv 2403.02957",
    ),
    "log_concavity": (
        "Saremi, Park & Bach",
        "Chain of Log-Concave Markov Chains",
        "ICLR 2024, arXiv 2305.19473",
    ),
}

KINDS = {
    "equality": "both sides agree on every instance",
    "tight": "an inequality that is attained",
    "upper": "an upper bound; attained nowhere that we know",
    "lower": "a lower bound; attained nowhere that we know",
    "asymptotic": "a limit or a rate",
    "definition": "an equivalence between a definition and the test used for it",
    "refuted": "false as printed; the corrected form is what is asserted",
}

TEXTS = {
    "source": "seen in the authors' own material",
    "recalled": "wording not confirmed against the paper's full text; the form stated here is proved here",
    "derived": "not a statement of the paper; proved here",
    "classical": "textbook result",
}


@dataclass(frozen=True)
class Statement:
    """One published (or derived) statement.

    ``key`` is ``paper/function name``; ``ref`` the number in the paper (only where it is known); ``kind`` one of
    :data:`KINDS`; ``text`` one of :data:`TEXTS`: how far the wording is confirmed; ``module`` where it is filed.
    """

    key: str
    paper: str
    ref: str
    title: str
    kind: str
    text: str
    doc: str
    module: str = ""

    @property
    def name(self):
        return self.key.partition("/")[2]


REGISTRY: dict[str, Statement] = {}


def statement(*, paper, ref, title, kind, text="source"):
    """File the decorated function's docstring as a statement; sets ``function.statement``.

    Raises
    ------
    ValueError
        for an unknown paper, kind or text, a missing docstring, or a key that is taken.
    """
    for name, value, known in (("paper", paper, PAPERS), ("kind", kind, KINDS), ("text", text, TEXTS)):
        if value not in known:
            raise ValueError(f"{name}: got {value!r}; expected one of {sorted(known)}")

    def file(function):
        key = f"{paper}/{function.__name__}"
        doc = inspect.getdoc(function)
        if not doc:
            raise ValueError(f"{key}: a statement needs a docstring (hypotheses, conclusion, source)")
        if key in REGISTRY and REGISTRY[key].doc != doc:
            raise ValueError(f"{key}: this key is taken")
        function.statement = REGISTRY[key] = Statement(key, paper, ref, title, kind, text, doc, function.__module__)
        return function

    return file
