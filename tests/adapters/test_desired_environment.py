"""Env files, as Compose reads them."""

from __future__ import annotations

import pytest

from traefik_bg.adapters.desired_environment import EnvFile, read_env_file


def read(text: str, *, is_raw: bool = False, **outer: str) -> EnvFile:
    return read_env_file(text, "web.env", outer, is_raw=is_raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b", {"A": "b"}),
        ("A=b\r\nC=d\r\n", {"A": "b", "C": "d"}),
        ("\n# a comment\n\nA=b\n  # another\nC=d", {"A": "b", "C": "d"}),
        ("A=", {"A": ""}),
        ("A=\nB=c", {"A": "", "B": "c"}),
        ("A: b", {"A": "b"}),
        ("export A=b", {"A": "b"}),
        ("A = b ", {"A": "b"}),
        ("A=b # comment", {"A": "b"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=# comment", {"A": ""}),
        ("A='b # c'  # comment", {"A": "b # c"}),
        ('A="b # c"', {"A": "b # c"}),
        ("A='$B ${C'", {"A": "$B ${C"}),
        ("A='it\\'s'", {"A": "it's"}),
        (r'A="a\tb\nc\\d\"e\$f"', {"A": 'a\tb\nc\\d"e$f'}),
        ('A="first\nsecond"\nB=c', {"A": "first\nsecond", "B": "c"}),
        ('A={"b": 1}', {"A": '{"b": 1}'}),
        ("A=b=c", {"A": "b=c"}),
        ("A=b\nA=c", {"A": "c"}),
        ("A=b\nC=${A}/$A", {"A": "b", "C": "b/b"}),
        ("A=${OUTER:-x}", {"A": "given"}),
        ("OUTER\nMISSING\n", {"OUTER": "given"}),
        ("my.dotted-name=1", {"my.dotted-name": "1"}),
    ],
)
def test_lines_mean_what_they_mean_to_compose(text: str, expected: dict[str, str]) -> None:
    """Quotes, comments, escapes and variables are read as Compose reads them."""
    found = read(text, OUTER="given")

    assert (found.values, found.mistakes) == (expected, [])


def test_a_raw_file_is_taken_letter_by_letter() -> None:
    """In a raw file quotes and dollars belong to the value."""
    found = read("A='b' # c\n# no\n\nB=$C\r\n", is_raw=True)

    assert found.values == {"A": "'b' # c", "B": "$C"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=b\nnot a variable secret\nC=d", "web.env:2: is not NAME=VALUE"),
        ("\nA='secret", "web.env:2: the quote that opens the value of A is never closed"),
        ("A='x' secret", "web.env:1: something follows the quoted value of A"),
        (
            "A=secret$(",
            (
                "web.env:1: the value of A uses a variable wrongly or one that must be set; put it in "
                "single quotes if its $ is meant as it is"
            ),
        ),
    ],
)
def test_mistakes_name_the_line_and_never_the_value(text: str, expected: str) -> None:
    """What is wrong in an env file is said without repeating what stands in it."""
    assert [str(mistake) for mistake in read(text).mistakes] == [expected]


def test_a_raw_line_without_a_value_is_a_mistake() -> None:
    """A raw file holds NAME=VALUE and comments only."""
    assert [str(mistake) for mistake in read("secret", is_raw=True).mistakes] == [
        "web.env:1: is not NAME=VALUE"
    ]


def test_a_variable_that_is_not_set_is_a_warning_without_its_name() -> None:
    """A dollar in a password may look like a variable; the warning repeats none of it."""
    found = read("PASSWORD=abc$ecret")

    assert found.values == {"PASSWORD": "abc"}
    assert found.warnings == [
        (
            "web.env:1: the value of PASSWORD uses a variable that is not set; put it in single quotes "
            "if its $ is meant as it is"
        ),
    ]
