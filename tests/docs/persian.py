"""What Persian prose on a page must not look like."""

from __future__ import annotations

import re
from collections.abc import Iterator

L = "[ءآأؤئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیٔ]"
HALF = "\u200c"  # the half-space (ZWNJ)
END = rf"(?![{HALF}]|{L})"
START = rf"(?<!{HALF})(?<!{L})"
# Some verbs with می; what follows می in other words (میان، میدان) is not here.
STEMS = """
آید آورد افتد بینید بیند پرسد تواند توان توانید خواهد خواهید خورد دارد داند دانید دهد دهند دهید رسد رود روند ریزد زند
سازد شد شود شوند شوید کشد کند کنند کنیم کنید گذرد گوید گویند گیرد گیرند ماند نامند نویسد یابد
"""

RULES = {
    "Arabic letters or digits (ي ك ة ى ٤); Persian has ی ک ه ۴": r"[يكةى٠-٩]",
    "an ASCII mark beside a Persian word; Persian has ، ؛ ؟": rf"{L}[*_)]* *[,;?](?!\w)|[,;?] *[*_(]*{L}",
    "straight or English quotes around Persian; Persian has «…»": rf"[\"“”]{L}|{L}[\"“”]",
    "a space after می or نمی; a half-space belongs there": rf"{START}ن?می {L}",
    "no half-space after می or نمی": rf"{START}ن?می(?:{'|'.join(STEMS.split())}){END}",
    "a space before ها; a half-space belongs there": rf"{L} ها(?:ی|یی|یش|یشان|یتان)?{END}",
    "a space before تر or ترین; a half-space belongs there": rf"{L} تر(?:ین)?{END}",
    "a half-space that joins nothing": rf"{HALF}(?!{L}|[\w«»(])|(?<!{L})(?<![\w»)]){HALF}",
    "ه‌ی; on this site it is هٔ": rf"ه{HALF}ی{END}",
    "a negative number outside a formula, where it would be read as 1−": r"(?<![\w\u2066)])[−-][0-9]",
    "a space before a mark": rf"{L} +[،؛؟:!.](?!\w)",
    "no space after a mark": rf"[،؛؟]{L}",
}

# Not prose: code, formulas, addresses, and what is in English.
FRONT = re.compile(r"\A---\n.*?\n---\n", re.S)
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.M | re.S)
ENGLISH = re.compile(r'<div dir="ltr".*?</div>', re.S)
OTHER = re.compile(
    r"\\\[.*?\\\]|\\\(.*?\\\)|`[^`\n]+`|<!--.*?-->|<[^>\n]+>|\]\([^)]*\)|\]\[[^\]]*\]|\{[^}\n]*\}"
    "|\u2066[^\u2069]*\u2069",  # isolated from left to right
    re.S,
)
LATIN_NUMBER = re.compile(r"(?<![\w.])[0-9][0-9.,]*")
MARKER = re.compile(r"^ *\d+\. ", re.M)
IN_ENGLISH = re.compile(r"[A-Za-z][\w.)]* ?$")  # as in Python 3.11


def prose(page: str) -> str:
    """The page without what is not prose."""
    for pattern, left in ((FRONT, ""), (CODE, ""), (ENGLISH, ""), (MARKER, ""), (OTHER, "\u2060")):
        page = pattern.sub(left, page)
    return page


def faults(page: str) -> Iterator[str]:
    """What is wrong, and where."""
    text = prose(page)
    places = [(rule, found) for rule, pattern in RULES.items() for found in re.finditer(pattern, text)]
    latin = [found for found in LATIN_NUMBER.finditer(text) if not IN_ENGLISH.search(text[: found.start()])]
    if re.search("[۰-۹]", text):
        places += [("Latin digits; elsewhere on this page they are Persian", found) for found in latin]
    for rule, found in places:
        around = text[max(0, found.start() - 20) : found.end() + 20].replace("\n", " ")
        yield f"{rule}: …{around}…"
