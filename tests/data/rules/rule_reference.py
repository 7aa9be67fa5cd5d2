"""The scores of the rules once more, slow and plain, written from the formulas, for one text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from modelwright.data.rules.compat_words import split_piece

TERMINAL = set(".!?。؟")
SYMBOLS = TERMINAL | set(
    "\"#$%&'()*+,-/:;<=>@[\\]^_`{|}~«´»–—’“”„…∶━►、〈〉《》「」【】％（），１：；～"
)
SYMBOLS |= {chr(code) for code in range(160) if code < 32 or code >= 127} - {"\t", "\n"}
STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)

Split = Callable[[str], list[str]]


def whitespace_words(text: str) -> list[str]:
    return text.split()


def compat_words(text: str) -> list[str]:
    return [word for piece in text.split() for word in split_piece(piece)]


def divide(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def reference(text: str, split: Split, edits: str) -> tuple[str, dict[str, float]]:
    """The edited text and all scores."""
    words = split(text)
    kept, c4 = c4_lines(text, edits == "c4-terminal")
    fixed, removed = refinedweb(text, split)
    paragraphs = re.sub("\n{3,}", "\n\n", "\n".join(kept)).strip()
    edited = {"none": text, "refinedweb": fixed}.get(edits, paragraphs)
    # What C4 leaves, and so what FineWeb scores, has no blank lines.
    compact = "\n".join(line for line in kept if line).strip()
    scored = {"none": text, "refinedweb": fixed}.get(edits, compact)
    scores = {
        **repetition(text, words),
        **quality(text, words),
        **c4,
        **fineweb(scored, split),
        "refinedweb_removed_word_fraction": removed,
        **curator(text),
    }
    return edited, scores


def duplicates(parts: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    again = [part for part in parts if part in seen or seen.add(part)]
    return len(again), sum(map(len, again))


def repetition(text: str, words: list[str]) -> dict[str, float]:
    paragraphs = re.split(r"\n{2,}", text.strip())
    lines = re.split(r"\n+", text)
    scores = {}
    for name, parts in (("paragraph", paragraphs), ("line", lines)):
        number, characters = duplicates(parts)
        scores[f"duplicate_{name}_fraction"] = number / len(parts)
        scores[f"duplicate_{name}_char_fraction"] = divide(characters, len(text))
    for n in (2, 3, 4):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        top = grams.most_common(1)
        size = len(" ".join(top[0][0])) * top[0][1] if top else 0
        scores[f"top_{n}_gram_char_fraction"] = divide(size, len(text))
    for n in range(5, 11):
        seen, place, size = set(), 0, 0
        while place + n <= len(words):
            gram = tuple(words[place : place + n])
            if gram in seen:
                size += len("".join(gram))
                place += n
            else:
                seen.add(gram)
                place += 1
        scores[f"duplicate_{n}_gram_char_fraction"] = divide(size, len(text))
    return scores


def quality(text: str, words: list[str]) -> dict[str, float]:
    real = [word for word in words if not set(word) <= SYMBOLS]
    lines = text.splitlines()
    bullets = [line for line in lines if line.lstrip().startswith(("•", "-"))]
    trailing = [line for line in lines if line.rstrip().endswith(("...", "…"))]
    letters = [word for word in words if any(map(str.isalpha, word))]
    return {
        "words": len(real),
        "mean_word_length": divide(sum(map(len, real)), len(real)),
        "hash_ratio": divide(text.count("#"), len(words)),
        "ellipsis_ratio": divide(text.count("...") + text.count("…"), len(words)),
        "bullet_line_fraction": divide(len(bullets), len(lines)),
        "ellipsis_line_fraction": divide(len(trailing), len(lines)),
        "alphabetic_word_fraction": divide(len(letters), len(words)),
        "stop_words": len(STOP_WORDS & set(words)),
    }


def sentences(line: str) -> int:
    count, seen_end = 1, False
    for word in compat_words(line):
        if word in TERMINAL:
            seen_end = True
        elif seen_end and not set(word) <= set("!\"#%&'()*,-./:;?@[\\]_{}«»–—’“”…•․‥¡¿§¶·"):
            count, seen_end = count + 1, False
    return count


def c4_lines(text: str, terminal: bool) -> tuple[list[str], dict[str, float]]:
    kept = []
    scores = dict.fromkeys(
        ("long_word", "unterminated", "short", "javascript", "policy", "lorem", "curly"), 0
    )
    number = 0
    for line in map(str.strip, text.splitlines()):
        words = line.split()
        if not line:
            kept.append("")
        if any(len(word) > 1000 for word in words):
            scores["long_word"] += 1
            continue
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)
        if not line.endswith((".", "?", "!", '"', "'")) or line.endswith("..."):
            scores["unterminated"] += 1
            if terminal:
                continue
        if len(words) < 3:
            scores["short"] += 1
            continue
        scores["lorem"] |= "lorem ipsum" in line.lower()
        if "javascript" in line.lower():
            scores["javascript"] += 1
            continue
        scores["curly"] |= "{" in line
        if any(policy in line.lower() for policy in POLICIES):
            scores["policy"] += 1
            continue
        number += sentences(line)
        kept.append(line)
    return kept, {
        "c4_long_word_lines": scores["long_word"],
        "c4_unterminated_lines": scores["unterminated"],
        "c4_short_lines": scores["short"],
        "c4_javascript_lines": scores["javascript"],
        "c4_policy_lines": scores["policy"],
        "c4_lorem_ipsum": int(scores["lorem"]),
        "c4_curly_bracket": int(scores["curly"]),
        "c4_sentences": number,
    }


def fineweb(text: str, split: Split) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    newlines = text.count("\n")
    return {
        "terminal_line_fraction": divide(sum(line[-1] in TERMINAL for line in lines), len(lines)),
        "short_line_fraction": divide(sum(len(line) <= 30 for line in lines), len(lines)),
        "edited_duplicate_line_char_fraction": divide(duplicates(lines)[1], len(text) - newlines),
        "newline_word_ratio": divide(newlines, len(split(text))),
    }


def refinedweb(text: str, split: Split) -> tuple[str, float]:
    kept = []
    for line in text.splitlines():
        number = len(line.split())
        if line and 2 * sum(map(str.isupper, line)) > len(line):
            continue
        if line.isdecimal() or re.search(
            r"(?i)^\W*\d[\d,.]*[kmb]?\s+(likes|shares|comments|views)\W*$", line
        ):
            continue
        if line and number < 2:
            continue
        if number <= 10:
            fixed = line
            for pattern in (r"\s?items in cart", r"\s?read more\.\.\.$", r"^sign-in\s?"):
                fixed = re.sub("(?i)" + pattern, "", fixed)
            if line and not fixed.strip():
                continue
            line = fixed
        kept.append(line)
    before = len(split(text))
    after = sum(len(split(line)) for line in kept)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), divide(before - after, before)


def curator(text: str) -> dict[str, float]:
    urls = re.findall(r"https?://[A-Za-z0-9$\-_@.&+!*(),%]+", text)

    def share(pattern: str) -> float:
        return divide(len(re.findall(pattern, text)), len(text))

    return {
        "symbol_char_fraction": share(r"[^a-zA-Z0-9\n?!,.]"),
        "digit_char_fraction": share(r"[0-9]"),
        "url_char_fraction": divide(sum(map(len, urls)), len(text)),
        "whitespace_char_fraction": share("[\t\n\r\b ]"),
        "parenthesis_char_fraction": share(r"[()\[\]{}]"),
        "longest_word": max(map(len, text.split()), default=0),
    }
