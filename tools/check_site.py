"""Checks a site: python3 tools/check_site.py FOLDER TAGS. Fails for links within the site that lead nowhere, for
resources from elsewhere, for public classes of the headers without a page, and for symbols whose page lacks them.
TAGS is Doxygen's tag file."""
import html.parser
import os
import pathlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree


class Page(html.parser.HTMLParser):
    """The anchors, links and resources of a page."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.resources = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        for name in ("id", "name"):
            if values.get(name):
                self.anchors.add(values[name])
        if tag in ("a", "area") and values.get("href"):
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("canonical", "author", "index", "search", "next", "prev"):
            self.resources.append(values.get("href") or "")
        elif tag in ("script", "img", "iframe", "source", "object", "embed", "video", "audio"):
            self.resources += [values[name] for name in ("src", "data", "srcset") if values.get(name)]


def outside(link):
    return re.match(r"([a-z][a-z0-9+.-]*:)?//|[a-z][a-z0-9+.-]*:", link, re.IGNORECASE) is not None


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in sorted(root.rglob("*.html"))}
    faults, links = [], 0
    for path, page in pages.items():
        for link in page.links + page.resources:
            where = f"{path.relative_to(root)}: {link}"
            if outside(link):
                if link in page.resources and not link.startswith(("data:", "javascript:")):
                    faults.append(f"{where}: a resource from elsewhere")
                continue
            links += 1
            file, _, anchor = link.partition("#")
            target = path if not file else pathlib.Path(
                os.path.normpath(path.parent / urllib.parse.unquote(file.split("?")[0])))
            if not target.is_file():
                faults.append(f"{where}: no such file")
            elif anchor and target in pages and urllib.parse.unquote(anchor) not in pages[target].anchors:
                faults.append(f"{where}: no such anchor")
    for path in root.rglob("*.css"):
        for link in re.findall(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", path.read_text(encoding="utf-8")):
            link = link[0] or link[1]
            if link.startswith("/") or outside(link) and not link.startswith("data:"):
                faults.append(f"{path.relative_to(root)}: {link}: a resource from elsewhere")
            elif not link.startswith(("data:", "#")) and not (path.parent / link.split("?")[0].split("#")[0]).is_file():
                faults.append(f"{path.relative_to(root)}: {link}: no such file")

    classes, members = set(), 0
    for compound in xml.etree.ElementTree.parse(sys.argv[2]).getroot():
        name = compound.findtext("name")
        if compound.get("kind") in ("class", "struct"):
            classes.add(name.split("<")[0])
        for entry in [compound] + compound.findall("member"):
            file, anchor = entry.findtext("anchorfile"), entry.findtext("anchor")
            if not file:
                continue
            members += 1
            page = pages.get(root / "reference" / file)
            if page is None or anchor not in page.anchors:
                faults.append(f"{name}::{entry.findtext('name')}: its page lacks it")
    for header in sorted(pathlib.Path("include").rglob("*.hpp")):
        space = []  # the namespaces around a line
        for line in header.read_text(encoding="utf-8").splitlines():
            if opened := re.match(r"namespace ([\w:]+) \{", line):
                space.append(opened[1])
            elif re.match(r"\}  // namespace", line):
                space.pop()
            elif (named := re.match(r"(?:template <.*> )?(?:class|struct) (\w+)[^;]*\{$", line)) and "detail" not in "::".join(space):
                full = "::".join(space + [named[1]])
                if full not in classes:
                    faults.append(f"{header}: {full} has no page")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(pages)} pages, {links} links within the site, {len(classes)} classes and {members} of their members and "
          f"functions documented, {len(faults)} faults")
    sys.exit(1 if faults else 0)


main()
