"""The templates of the pages, with what they may call."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from descentlab.i18n.wording import counted, words
from descentlab.report.phrases import verdict_class, verdict_words


def page_environment() -> Environment:
    """Jinja's environment of a page: text is escaped, an unknown name is an error."""
    environment = Environment(
        loader=PackageLoader("descentlab.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, counted=counted, verdict_class=verdict_class, verdict_words=verdict_words)
    return environment
