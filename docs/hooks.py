"""How the site of mkdocs.yml is made of the repository.

It lies as the repository does, README.md on top, so that every link of a page leads where it leads
in the sources.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
#: Pages, and what they link to.
SHOWN = (
    "*.md",
    "LICENSE",
    "CITATION.cff",
    "docs/*.md",
    "docs/cluster/*",
    "docs/figures/*",
    "studies/*/README.md",
    "benchmarks/README.md",
)
#: Pages of the API, and the modules of each, whose `__all__` is shown.
API = {
    "wherefrom": ("wherefrom",),
    "earth": ("earth", "earth.grids"),
    "pool": ("pool", "pool.series", "pool.known"),
    "compose": ("compose", "compose.card", "compose.exclusion"),
    "auditing": ("auditing.audit", "auditing.leaks", "auditing.atlas"),
    "payload": ("payload",),
    "models": (
        *("models.presto", "models.satclip", "models.satmae"),
        *("models.galileo", "models.geoclip", "models.towers"),
    ),
    "gfms": ("gfms", "gfms.presto", "gfms.satclip"),
    "tasks": ("tasks",),
    "train": ("train.pretrain", "train.embed", "train.heads", "train.heads.finetune"),
    "study": ("study",),
    "evidence": ("evidence",),
    "report": ("report",),
    "testing": ("testing",),
}
#: Roles of reStructuredText before a name in a docstring.
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):(?=<code>)")


def on_config(config: MkDocsConfig) -> None:
    """Add to the navigation the pages of docs/ that it does not name, and the API."""
    named = set(re.findall(r"[\w./-]+\.md", str(config.nav)))
    others = [name for page in sorted(ROOT.glob("docs/*.md")) if (name := _name(page)) not in named]
    assert config.nav is not None
    if others:
        config.nav.insert(-1, {"More": others})
    config.nav.insert(-1, {"API": [{name: f"api/{name}.md"} for name in API]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Take the files of the repository, by their paths in it, in place of those of docs/."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    for pattern in SHOWN:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File(_name(path), str(ROOT), config.site_dir, config.use_directory_urls))
    for name, modules in API.items():
        shown = [one if one == "wherefrom" else f"wherefrom.{one}" for one in modules]
        text = "\n\n".join([f"# {name}", *(f"::: {one}" for one in shown)])
        files.append(File.generated(config, f"api/{name}.md", content=text + "\n"))


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Take roles of reStructuredText out of docstrings."""
    return ROLE.sub("", html) if page.file.src_uri.startswith("api/") else html


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
