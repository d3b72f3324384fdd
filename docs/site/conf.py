"""The pages of the site, made by Sphinx from Markdown. tools/site.sh sets the variables of the environment."""
import os
import re
import xml.etree.ElementTree

from docutils import nodes
from pygments.lexers.special import TextLexer

project = "xtape"
author = "The xtape authors"
copyright = "the xtape authors, BSD-3-Clause"
version = release = os.environ["XTAPE_VERSION"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4
highlight_language = "text"
html_theme = "furo"
html_title = f"xtape {version}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["pages.css", "pages.js"]
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
pygments_style = "friendly"
pygments_dark_style = "monokai"


def symbols(path):
    """Maps names such as Dense, save and regularizers::L2 to pages of the reference, by Doxygen's tag file."""
    pages = {}
    for compound in xml.etree.ElementTree.parse(path).getroot():
        name = compound.findtext("name").removeprefix("xtape::")
        if compound.get("kind") in ("class", "struct"):
            pages[name] = compound.findtext("filename")
        elif compound.get("kind") == "namespace":
            for member in compound.findall("member"):  # the first of overloads, unless a class has the name
                full = "::".join(filter(None, [name.removeprefix("xtape"), member.findtext("name")]))
                pages.setdefault(full, f"{member.findtext('anchorfile')}#{member.findtext('anchor')}")
    return pages


def link_symbols(app, tree, docname):
    """Makes a link of each inline code that is a public symbol."""
    known = app.env.config.xtape_symbols
    for literal in list(tree.findall(nodes.literal)):
        if isinstance(literal.parent, nodes.reference):
            continue
        match = re.fullmatch(r"(?:xp::|xtape::)?([A-Za-z_0-9:]+?)(?:<\w+>)?(?:\(\))?", literal.astext())
        if docname == "keras" and not literal.astext().startswith("xp::"):
            continue  # names of other libraries
        page = match and known.get(match[1])
        # A word such as `sum` may be something else: functions are written as calls, or have an underscore.
        if page and (match[1][0].isupper() or "_" in match[1] or literal.astext().endswith("()")):
            link = nodes.reference("", "", refuri="../" * docname.count("/") + "reference/" + page, internal=True)
            literal.replace_self(link)
            link += literal


def setup(app):
    app.add_lexer("layers", TextLexer)  # the picture in design.md
    app.add_config_value("xtape_symbols", symbols(os.environ["XTAPE_TAGS"]), "")
    app.connect("doctree-resolved", link_symbols)
