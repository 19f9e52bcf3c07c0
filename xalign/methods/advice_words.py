"""Advice in plain words."""

from __future__ import annotations

from xalign.methods.advice import NOTHING, RULE, RULE_TEXT, UNDETECTABLE, Advice
from xalign.objective import active_losses

LOSS_NAMES = {"S": "sentence", "W": "word", "M": "masked-LM"}


def described(configuration: str) -> str:
    """``S1W0M1`` with its losses' names; for no loss at all: not to align."""
    if configuration == NOTHING:
        return "not to align"
    return f"{configuration} ({' + '.join(LOSS_NAMES[letter] for letter in active_losses(configuration))})"


def in_words(advice: Advice, pair: str) -> list[str]:
    """What to do, how sure that is and why, and what the paper's own rule says; a sentence or two each."""
    first, rule = advice.first, RULE[advice.task]
    lines = [f"Advice for {advice.task} on {pair}: {described(advice.configuration)}."]
    if not advice.detectable:
        lines.append(f"Not sure at all: {UNDETECTABLE}, so this is the paper's rule. More blocks or data may help.")
    else:
        lines.append(_how_sure(advice))
        if advice.sure and first.configuration == NOTHING:
            lines.append("The gradient of every alignment works against the task.")
        elif advice.configuration != first.configuration:
            lines.append(
                f"The gradients put {described(first.configuration)} first, but cannot tell it from the paper's "
                "choice, so that is the advice."
            )
    lines.append(f"The paper's own rule: {RULE_TEXT}. Here: {described(rule)}; {_agreement(advice, rule)}.")
    lines.append(
        "The score is a cosine at the unaligned encoder: it says where the first step leads, and for the English task."
    )
    return lines


def _how_sure(advice: Advice) -> str:
    first = advice.first
    share = (
        f"{described(first.configuration)} comes first in {100 * first.share_first:.0f} % of half-samples of the data"
    )
    if advice.sure:
        return f"Sure, as far as gradients go: {share}, and no other interval meets its own."
    tied = [place.configuration for place in advice.ranking if place.tied]
    names = ", ".join("doing nothing" if name == NOTHING else name for name in tied)
    return f"Not sure: {share}, but its interval overlaps with {names}."


def _agreement(advice: Advice, rule: str) -> str:
    if advice.configuration != rule:
        return "the advice departs from it"
    return "both agree" if advice.first.configuration == rule else "the advice follows it"
