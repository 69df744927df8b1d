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
    "a space before ای, اند, ام or اش; a half-space belongs there": rf"{L}ه ا(?:ی|ند|م|ش){END}",
    "ها without a half-space after ه": rf"هها(?:ی|یی)?{END}",
    "the same word twice": rf"{START}({L}+) \1{END}",
    "an ending stuck to a name in Latin letters or to code; reword it": rf"(?<=[A-Za-z\u2060]){L}",
}

# One word for one thing: what is written on the left is said as on the right everywhere on the site.
TERMS = {
    "تابع فعال‌ساز, تابع فعالیت, تابع تحریک": "تابع فعال‌سازی",
    "فعال سازی, فعالسازی": "فعال‌سازی",
    "شبکه عصبی, شبکه‌ی عصبی": "شبکهٔ عصبی",
    "لایه مخفی, لایهٔ مخفی, لایه پنهان, لایه‌های مخفی, لایه‌های نهان": "لایهٔ پنهان",
    "اریب, سوگیری": "بایاس",
    "نگاشت همگر, آفاین": "آفین",
    "غیرخطی, غیر خطی, ناخطی بودن, ناخطی‌بودنی": "ناخطی‌بودن",
    "تابع هزینه, تابع اتلاف": "زیان",
    "میانگین مربعات خطا, خطای میانگین مربعات": "میانگین توان دوم خطا",
    "حداقل مربعات": "کمترین مربعات",
    "محو شدن گرادیان, ناپدید شدن گرادیان, محوشدگی گرادیان": "محوشدن گرادیان",
    "گرادیان نزولی, نزول گرادیان, کاهش گرادیان": "گرادیان کاهشی",
    "نرخ آموزش, ضریب یادگیری": "نرخ یادگیری",
    "اپوک, ایپاک": "دوره",
    "بچ, مینی‌بچ, دستهٔ کوچک": "دسته، ریزدسته",
    "دادهٔ تست, داده‌های تست, مجموعهٔ آزمون, دادهٔ آموزشی, داده‌های آموزشی": "دادهٔ آزمون، دادهٔ آموزش",
    "بیش برازش, بیش‌پردازش": "بیش‌برازش",
    "تعمیم‌پذیری": "تعمیم",
    "برهان": "اثبات",
    "مثال ناقض, پادمثال": "مثال نقض",
    "گواهینامه, گواهی‌نامه": "گواهی",
    "خطای گرد کردن, خطای رند": "خطای گردکردن",
    "نقطهٔ شناور, اعشار شناور, ممیزشناور": "ممیز شناور",
    "تقریب عمومی, تقریب سراسری": "تقریب جهانی",
    "دانهٔ تصادفی, هستهٔ تصادفی": "بذر تصادفی",
    "سیگموید, سیگمویید": "سیگموئید",
    "تانژانت هیپربولیک, تانژانت هایپربولیک": "تانژانت هذلولوی",
    "بهینه ساز, بهینه‌گر": "بهینه‌ساز",
    "پس انتشار, انتشار رو به عقب": "پس‌انتشار",
    "گذر برگشت, عبور روبه‌جلو, گذر رو به جلو": "گذر روبه‌جلو، گذر روبه‌عقب",
    "مرتبهٔ ماتریس": "رتبه",
    "عمیق, عمق": "ژرف، ژرفا",
    "تابعی ثابت, تابع ثابت": "تابعی معین (a constant function is another thing)",
    "همچون تابعی": "به عنوان تابعی",
    "دیتا, دیتاست": "داده، مجموعه‌داده",
    "انبوه, انبوهی": "پشته",
    "تانسور": "تنسور",
}
for _others, _term in TERMS.items():
    RULES[f"not the term of this site, which is {_term}"] = (
        rf"{START}(?:{_others.replace(', ', '|')})(?:{HALF}ها(?:ی|یی)?)?{END}"
    )

# Not prose: code, formulas, addresses, and what is in English.
FRONT = re.compile(r"\A---\n.*?\n---\n", re.S)
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.M | re.S)
ENGLISH = re.compile(r'<div dir="ltr".*?</div>', re.S)
TAG = re.compile(r"<!--.*?-->|<[^>\n]+>", re.S)
OTHER = re.compile(
    r"\\\[.*?\\\]|\\\(.*?\\\)|`[^`\n]+`|\]\([^)]*\)|\]\[[^\]]*\]|\{[^}\n]*\}"
    "|\u2066[^\u2069]*\u2069",  # isolated from left to right
    re.S,
)
LATIN_NUMBER = re.compile(r"(?<![\w.])[0-9][0-9.,]*")
MARKER = re.compile(r"^ *\d+\. ", re.M)
IN_ENGLISH = re.compile(r"[A-Za-z][\w.)]* ?$")  # as in Python 3.11


# Words that need no English beside them: everyday ones, and terms that are made of others.
PLAIN = {
    "آموزش", "دادهٔ آموزش", "لایه", "وزن", "ماتریس", "ضرب", "اثبات", "داوری", "مانع", "گزاره", "تمرین", "آزمایشگاه",
    "شبکهٔ بدون تابع فعال‌سازی",
}  # fmt: skip
ENTRY = re.compile(r"^\*\*([^*]+)\*\*\{[^}]*\} \(([^)]+)\)", re.M)


def prose(page: str) -> str:
    """The page without what is not prose."""
    for pattern, left in ((FRONT, ""), (CODE, ""), (ENGLISH, ""), (MARKER, ""), (TAG, "\u2061"), (OTHER, "\u2060")):
        page = pattern.sub(left, page)
    return page


def terms_of(glossary: str) -> dict[str, str]:
    """The words of the glossary, each with its English."""
    return {term: english for terms, english in ENTRY.findall(glossary) for term in terms.split("، ")}


def bare(page: str, terms: dict[str, str]) -> Iterator[str]:
    """The terms that the page uses and never puts beside the English word."""
    text = re.sub(r"\s+", " ", re.sub(r"^#.*", "", prose(page), flags=re.M))
    unlinked = re.sub(r"\[[^]\u2060]*\u2060", "", text)  # what a link says is mostly the title of its page
    for term, english in terms.items():
        used = re.search(rf"{START}{term}(?:{HALF}ها|{HALF}های|ی|ِ)?{END}", unlinked)
        # "affine" stands for "affine map", "saturates" for "saturation".
        stems = "|".join(word.split()[0][:5] for word in re.sub(r"\b(?:to|the) ", "", english).split(", "))
        if used and term not in PLAIN and not re.search(rf"\([^)]*\b(?:{stems})", text, re.I):
            yield term


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
