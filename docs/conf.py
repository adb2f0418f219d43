"""The site: `tox run -e docs`. What it shows is run or read from the docstrings as it is built."""

import invmass

project, author, release = "invmass", "the authors of invmass", invmass.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "matplotlib.sphinxext.plot_directive",
]
html_theme = "furo"
html_title = "invmass"
html_show_copyright = html_show_sourcelink = False
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
plot_formats = ["svg"]
plot_html_show_formats = plot_html_show_source_link = False
plot_include_source = True
plot_rcparams = {"axes.spines.top": False, "axes.spines.right": False}
