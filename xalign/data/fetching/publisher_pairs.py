"""Which languages and pairs the publishers have, under the publishers' own codes.

OPUS-100: the lists of its loading script on the hub, checked against its page. MultiCCAligned v1.1: the table of its
page at OPUS. MUSE: the tables of its README.
"""

from __future__ import annotations


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# English with 99 languages, by folder names; and 15 pairs that have a test set only.
OPUS_100 = (
    *(f"{code}-en" for code in _codes("af am an ar as az be bg bn br bs ca cs cy da de dz el")),
    *(
        f"en-{code}"
        for code in _codes(
            "eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id ig is it ja ka kk km kn ko ku ky li lt lv mg mk"
            " ml mn mr ms mt my nb ne nl nn no oc or pa pl ps pt ro ru rw se sh si sk sl sq sr sv ta te tg th tk tr tt"
            " ug uk ur uz vi wa xh yi yo zh zu"
        )
    ),
)
OPUS_100_ZERO_SHOT = _codes("ar-de ar-fr ar-nl ar-ru ar-zh de-fr de-nl de-ru de-zh fr-nl fr-ru fr-zh nl-ru nl-zh ru-zh")

# Nearly every two of these are a pair; none is English.
MULTI_CC_ALIGNED_LANGUAGES = _codes(
    "af ak am ar as ay az be bg bm bn br bs ca cb cs cx cy da de el es et fa ff fi fr gu ha he hi hr ht hu hy id ig is"
    " it ja jv ka kg kk km kn ko ku ky lg ln lo lt lv mg mi mk ml mn mr ms mt my ne nl no ns ny om or pa pl ps pt qa"
    " qd ro ru si sk sl sn so sq sr ss st su sv sw sz ta te tg th ti tl tn tr ts tz uk ur ve vi wo xh yo zh_CN zh_TW"
    " zu zz"
)

# Six European languages with each other, and English with the rest, both ways.
_EUROPEAN = _codes("de en es fr it pt")
_WITH_ENGLISH = _codes(
    "af ar bg bn bs ca cs da el et fa fi he hi hr hu id ja ko lt lv mk ms nl no pl ro ru sk sl sq sv ta th tl tr uk"
    " vi zh"
)
MUSE = (
    *(f"{a}-{b}" for a in _EUROPEAN for b in _EUROPEAN if a != b),
    *(pair for code in _WITH_ENGLISH for pair in (f"en-{code}", f"{code}-en")),
)
