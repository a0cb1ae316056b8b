"""Full-text words: one tokeniser for every store, so that the same words find the same alerts everywhere.

A CJK character is a word of its own, because neither SQLite's nor Elasticsearch's default tokeniser finds
横向 inside a longer run. Text is cut into words here; the stores only split at spaces.
"""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 20_000  # characters of one record that are searchable

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def words(text: str) -> list[str]:
    """Lower-case words of letters and digits; a CJK character is one word.

    >>> words("横向移动 from WEB-01")
    ['横', '向', '移', '动', 'from', 'web', '01']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text[:MAX_TEXT]).lower())


def spaced(*texts: str) -> str:
    """The words of all texts, separated by one space: what the stores index."""
    return " ".join(word for text in texts for word in words(text))
