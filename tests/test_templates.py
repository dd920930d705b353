"""Templates: the contract of variables in templates/README.md, values that can't break out, where they are found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, UndefinedError, meta

from bootstrap.render import json_value, render
from bootstrap.template_files import root, text

CHECKOUT = Path(__file__).resolve().parent.parent
TEMPLATES = CHECKOUT / "templates"
EXAMPLES: dict[str, object] = {
    "string": 'it\'s: a "string" # with {{ everything }} & <more>\n- in: it',
    "number": 8080,
    "boolean": True,
    "pairs": [["name", "value"], ["other", ""]],
    "list": [{"name": "a", "host_path": "/a", "path": "/b", "type": "File", "read_only": True}],
    "mapping": {"key": "value"},
    "name": "cluster.local",
    "strings": ["one", "two"],
}


def contract() -> dict[str, dict[str, str]]:
    """Template -> variable -> type, as the README's tables have them."""
    found: dict[str, dict[str, str]] = {}
    for section in (TEMPLATES / "README.md").read_text(encoding="utf-8").split("\n### ")[1:]:
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
        found[section.splitlines()[0].strip()] = dict(rows)
    return found


def templates() -> list[str]:
    """Every file that is a template."""
    return sorted(str(file.relative_to(TEMPLATES)) for file in TEMPLATES.rglob("*.j2"))


def test_every_template_has_its_variables_in_the_readme() -> None:
    assert sorted(contract()) == templates()


@pytest.mark.parametrize("template", templates())
def test_a_template_uses_the_variables_documented_and_no_others(template: str) -> None:
    used = meta.find_undeclared_variables(Environment(autoescape=True).parse(text(template)))
    assert used == set(contract()[template])


@pytest.mark.parametrize("template", templates())
def test_a_template_renders_from_its_documented_variables_into_yaml(template: str) -> None:
    written = render(template, {name: EXAMPLES[type] for name, type in contract()[template].items()})
    assert written.endswith("\n")
    assert "{{" not in written.replace("{{ everything }}", "")
    if template.endswith(".yaml.j2"):
        assert list(yaml.safe_load_all(written))


@pytest.mark.parametrize(
    ("template", "missing"), [(template, name) for template, names in contract().items() for name in names]
)
def test_a_missing_variable_fails_instead_of_leaving_a_blank(template: str, missing: str) -> None:
    names = contract()[template]
    with pytest.raises(UndefinedError, match=missing):
        render(template, {name: EXAMPLES[type] for name, type in names.items() if name != missing})


@pytest.mark.parametrize("file", sorted(TEMPLATES.glob("policies/*.yaml")), ids=lambda file: file.name)
def test_a_file_without_variables_is_used_as_it_is(file: Path) -> None:
    assert text(f"policies/{file.name}") == file.read_text(encoding="utf-8")
    assert yaml.safe_load(text(f"policies/{file.name}"))["kind"]


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.yaml\.j2"):
        render("nothing.yaml.j2", {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_any_value_comes_back_out_of_yaml_and_json_as_it_went_in(value: object) -> None:
    written = f"before: 1\nit: {json_value(value)}\nafter: 2\n"
    assert yaml.safe_load(written) == {"before": 1, "it": value, "after": 2}
    assert json.loads(json_value(value)) == value


@given(VALUES)
def test_a_value_takes_one_line_unless_it_is_spread(value: object) -> None:
    assert len(json_value(value).splitlines()) == 1
    assert json.loads(json_value(value, indent=2)) == value


def test_what_html_would_escape_stays_readable() -> None:
    assert json_value("a<b> & 'c'") == '''"a<b> & 'c'"'''


def test_what_is_no_number_in_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_value(float("nan"))


def test_a_checkout_uses_the_templates_beside_the_package() -> None:
    assert Path(str(root())) == TEMPLATES


def test_an_installed_package_uses_the_templates_inside_it(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "bootstrap", tmp_path / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bootstrap/templates").mkdir()
    (tmp_path / "bootstrap/templates/greeting.j2").write_text("hello {{ name|tojson }}\n")
    program = "from bootstrap.render import render; print(render('greeting.j2', {'name': 'you'}), end='')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == 'hello "you"\n'
