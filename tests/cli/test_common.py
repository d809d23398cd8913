"""What the verbs share: printing for a person."""

import pytest
from rich.text import Text

from thinkaloud.cli.common import put


def test_in_a_pipe_lines_end_where_they_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """U+2028 and its like belong to the text that is shown."""
    put(Text("a\u2028b\x85c \x1c d"), "e  ", "")
    assert capsys.readouterr().out == "a\u2028b\x85c \x1c d\ne\n\n"
