"""A page as text, and its parts by their keys: what is sent to who has the page open is what differs between two."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from app.dashboard import words
from app.dashboard.assets import folder

_FIRST_TAG = re.compile(r"<([a-z][a-z0-9]*)")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= words.FILTERS
    environment.globals["assets"] = folder()
    environment.globals["ui"] = environment.get_template("ui.html").module
    return environment


_templates = _environment()


@dataclass
class Sheet:
    """What a page consists of: key -> element, and of each list the keys in their order."""

    parts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)

    def part(self, of: str, key: object, caller: Callable[[], str]) -> Markup:
        """An element of a list, which is replaced when it has changed. Keys are unique on the page."""
        name = f"{of}:{key}"
        text = _FIRST_TAG.sub(lambda tag: f'{tag[0]} id="{escape(name)}"', str(caller()).strip(), count=1)
        self.lists.setdefault(of, []).append(name)
        self.parts[name] = text
        return Markup(text)  # noqa: S704  # nosec B704  # the template has escaped it

    def list(self, name: str) -> Markup:
        """The attribute of the element whose children the parts of a list are; it may be without any."""
        self.lists.setdefault(name, [])
        return Markup('data-list="{}"').format(name)

    def whole(self) -> dict[str, Any]:
        return {"set": self.parts, "lists": self.lists}

    def since(self, before: "Sheet") -> dict[str, Any]:
        """What has changed; empty if nothing has."""
        parts = {key: text for key, text in self.parts.items() if before.parts.get(key) != text}
        lists = {name: keys for name, keys in self.lists.items() if before.lists.get(name) != keys}
        return ({"set": parts} if parts else {}) | ({"lists": lists} if lists else {})


def render(template: str, facts: Mapping[str, Any]) -> tuple[str, Sheet]:
    """The content of a page."""
    sheet = Sheet()
    return _templates.get_template(template).render(facts, sheet=sheet), sheet


def framed(content: str, **facts: Any) -> str:
    """The whole document around it."""
    safe = Markup(content)  # noqa: S704  # nosec B704  # rendered above
    return _templates.get_template("frame.html").render(facts, content=safe)


def packed(message: Mapping[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
