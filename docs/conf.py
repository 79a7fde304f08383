"""How the documentation is built: every page with code is run, and a failure is an error."""

import dataclasses
import importlib
import importlib.util
import inspect
import os
import re
from importlib.metadata import version as installed_version
from pathlib import Path

project = "argen"
author = "The argen developers"
copyright = "2026, The argen developers"
release = version = installed_version("argen")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Run every notebook afresh, away from the source tree. A cell that fails is a warning with its
# traceback, and the build treats warnings as errors (-W).
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
# Where pages find the numbers that they draw.
os.environ["ARGEN_DOCS"] = str(Path(__file__).parent)

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
python_use_unqualified_type_names = True
autodoc_type_aliases = {
    name: name
    for name in ("ArrayLike", "FloatArray", "IntArray", "BoolArray", "StatusArray", "Progress")
}
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"argen {release}"
# Equations are drawn without a network. The package holds the files, and is no extension here, as
# it would keep pages from being read side by side.
(_mathjax,) = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations
html_static_path = ["_static", f"{_mathjax}/static"]
mathjax_path = "mathjax/tex-chtml.js"
html_css_files = ["argen.css"]


_original = {}


def keep_original(app, what, name, obj, options, lines):
    """Remember a docstring before napoleon reads "text: (n,)" of an attribute as "type: text"."""
    _original[name] = list(lines)


def describe_field(app, what, name, obj, options, lines):
    """Describe a dataclass field by its docstring, or the comment beside it in the source."""
    if what not in ("attribute", "property"):
        return
    lines[:] = _original[name]
    owner_name, _, field = name.rpartition(".")
    module_name, _, class_name = owner_name.rpartition(".")
    owner = getattr(importlib.import_module(module_name), class_name, None) if module_name else None
    if what == "attribute" and dataclasses.is_dataclass(owner):
        source = inspect.getsource(owner)
        comment = re.search(rf"^    {field}: [^#\n]*# (.+)$", source, re.MULTILINE)
        if comment:
            lines[:] = [comment.group(1)]


def shorten_types(app, what, name, obj, options, signature, returns):
    """Show an array type that may be None by its name, as where it may not."""
    if signature:
        signature = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature)
    return signature, returns


def setup(app):
    """Register the hooks; those for docstrings go around napoleon, whose priority is 500."""
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("autodoc-process-docstring", keep_original, priority=400)
    app.connect("autodoc-process-docstring", describe_field, priority=600)
