"""Writes into the documents what they take from the code: `make docs`.

docs/settings.md and docs/compose-keys.md as a whole, and the help in the README. `test_docs` requires that both are up to
date, so a setting or a verb cannot change without them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from typer.testing import CliRunner

from traefik_bg.adapters.compose_keys import DECLARED, FILE, SERVICE, Key
from traefik_bg.cli.verbs import verbs
from traefik_bg.settings import CONFIG_FLAG, CONFIG_VARIABLE, DEFAULT_CONFIG, SETTINGS, Setting

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SETTINGS_PAGE = ROOT / "docs/settings.md"
COMPOSE_PAGE = ROOT / "docs/compose-keys.md"

_HELP = re.compile(r"(<!-- help -->\n```text\n)(.*?)(```\n<!-- /help -->)", re.DOTALL)

_HEAD = f"""\
# Settings

<!-- Made by `make docs` from traefik_bg/settings.py: change it there. -->

Each setting of `traefik-bg run` can be a flag, an environment variable or a key of the settings
file. A flag wins over the environment, the environment over the file, the file over the default.
All wrong settings are named at once, with exit code 2.

The settings file is `{DEFAULT_CONFIG}` if it is there; `{CONFIG_FLAG}` or `{CONFIG_VARIABLE}` name
another one. It is read once, at the start. Paths in it are relative to the working directory.

```yaml
# {DEFAULT_CONFIG}
desired: config/desired.yaml
dynamic_dir: /etc/traefik/dynamic
traefik_api: http://127.0.0.1:8080
address_by: ip
```

Settings that take several values take a list in the file, the flag several times, or one text with
commas. `status`, `deploy` and the other verbs that talk to the running service know `--listen` and
`--token-file`, and read the same variables and the same file.

The sample's settings are the `TRAEFIK_BG_…` variables in [compose.yaml](../compose.yaml).
"""


def settings_page() -> str:
    """Return the page of all settings."""
    return "\n".join([_HEAD, *map(_section, SETTINGS)])


def _section(setting: Setting) -> str:
    meaning = setting.meaning[0].upper() + setting.meaning[1:]
    several = "; takes several values" if setting.is_list else ""
    return (
        f"## `{setting.key}`\n\n"
        f"{meaning}.\n\n"
        f"- Flag: `{setting.flag}`{several}\n"
        f"- Variable: `{setting.variable}`\n"
        f"- Default: {_default(setting.default)}\n"
    )


def _default(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case StrEnum():
            return f"`{value.value}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


_COMPOSE_HEAD = """\
# Compose's keys

<!-- Made by `make docs` from traefik_bg/adapters/compose_keys.py: change it there. -->

Every key of the Compose specification, and what becomes
of it in a [desired state](desired-state.md). A test holds this page against the specification's own JSON
schema. What is below a key that is refused or has no effect is not listed.

- **honoured:** as in Compose.
- **no effect:** taken, so that a block can be pasted, and named in a warning.
- **refused:** a mistake, with this reason: `traefik-bg check` says it, with file and line.
"""


def compose_page() -> str:
    """Return the page of all keys of Compose."""
    tables = {
        "A service, which is an app here": SERVICE,
        "A file": FILE,
        **{f"What stands under `{section}`": keys for section, keys in DECLARED.items()},
    }
    return "\n".join([_COMPOSE_HEAD, *(_table(title, keys) for title, keys in tables.items())])


def _table(title: str, keys: Mapping[str, Key]) -> str:
    rows = [
        f"| `{key}` | {row.standing} | {row.note.replace('|', chr(92) + '|')} |"
        for key, row in sorted(keys.items())
    ]
    return "\n".join([f"## {title}\n", "| key | standing | note |", "|---|---|---|", *rows, ""])


def help_text() -> str:
    """Return what `traefik-bg --help` prints on a terminal of 80 columns."""
    done = CliRunner().invoke(verbs, ["--help"], prog_name="traefik-bg", env={"COLUMNS": "80"})
    return done.output.rstrip() + "\n"


def help_in(readme: str) -> str:
    """Return the help that stands in the README."""
    found = _HELP.search(readme)
    return found[2] if found else ""


def with_help(readme: str) -> str:
    """Return the README with the help of today."""
    return _HELP.sub(lambda found: f"{found[1]}{help_text()}{found[3]}", readme)


def main() -> int:
    """Bring the documents up to date."""
    SETTINGS_PAGE.write_text(settings_page(), encoding="utf-8")
    COMPOSE_PAGE.write_text(compose_page(), encoding="utf-8")
    README.write_text(with_help(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
