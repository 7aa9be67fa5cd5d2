from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.data.sources.wikitext import FILE_PREFIXES, plain_text

MARKS = [
    *("{{", "}}", "{{{", "}}}", "[[", "]]", "[", "]", "|", "{|", "|}", "\n{|", "\n|}", "\n|-\n"),
    *("<ref>", "</ref>", "<ref name=x/>", "<nowiki>", "</nowiki>", "<math>", "</math>", "<!--"),
    *("-->", "''", "'''", "==", "\n==", "\n*", "\n#", "File:", "a", " ", "\n", "&amp;", "<br>"),
    *("<", ">", "http://a.b", "(", ")", ",", "\0", "0", "__TOC__", "<gallery>", "</gallery>"),
]


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''' and ''italic'' and '''''both'''''", "Bold and italic and both"),
        ("the dog''''s'''", "the dog's"),
        ("[[Target]], [[Target|label]], [[big]]gest", "Target, label, biggest"),
        ("[[Ship (boat)|]] [[A#Part|]] [[:Category:Seas]]", "Ship A#Part Category:Seas"),
        ("a [[File:x.png|thumb|left|with [[link|a link]] in it]] b", "a b"),
        ("a[[Category:Ships|Boat]][[image:y.jpg]]", "a"),
        ("a [[de:Schiff]] [[zh-min-nan:Chûn]] b", "a b"),
        ("[[C (programming language)|C]] [[Star Trek: Voyager]]", "C Star Trek: Voyager"),
        ("a {{cite|b={{c|d}}|e=[[f]]}} g", "a g"),
        ("a{{b|{{{c|}}}}} d", "a d"),
        ("a {{b|\n{|\n| cell {{d}}\n|}\n}} e", "a e"),
        ("before\n{| class=x\n! head\n|-\n| cell\n{|\n| inner\n|}\n|}\nafter", "before\n\nafter"),
        (":{|\n| a\n|}\nb", "b"),
        ("a<ref>note [[x]] {{y}}</ref> b<ref name=q/>c<REF NAME='z'>d</Ref >.", "a bc."),
        ("a <!-- [[b <ref> --> c", "a c"),
        ("a <!-- never closed {{", "a"),
        ("x <gallery>\nFile:a.jpg|b\n</gallery> y", "x y"),
        ("<table><tr><td>cell</td></tr></table>rest", "rest"),
        ("[http://a.b/c?d label here] [https://e.f] http://g.h/i", "label here http://g.h/i"),
        ("[//a.b rel] [mailto:x@y.z me] [sic] [1]", "rel me [sic] [1]"),
        ("<math>\\frac{a''}{{b}}</math>", "\\frac{a''}{{b}}"),
        ("<nowiki>''[[x]]'' &lt; <b></nowiki>", "''[[x]]'' < <b>"),
        (
            "<syntaxhighlight lang=c>a[[0]] = '''b''' &amp;</syntaxhighlight>",
            "a[[0]] = '''b''' &amp;",
        ),
        ("{{box|<nowiki>}}</nowiki>}} a", "a"),
        (
            "a<br/>b<br>c <small>d</small> <span style='x'>e</span> H<sub>2</sub>O",
            "a\nb\nc d e H2O",
        ),
        ("a < b, c > d, <unknown> x<y", "a < b, c > d, <unknown> x<y"),
        ("== Top ==\ntext\n=== [[Sub]] ''x'' ===\nmore", "Top\n\ntext\n\nSub x\n\nmore"),
        ("* a\n** b\n# c\n: d\n; e\n*\n----\nf", "- a\n  - b\n- c\nd\ne\nf"),
        (
            "a &amp; b&nbsp;c &lt;ref&gt; &amp;lt; &copy &unknown;",
            "a & b c <ref> &lt; &copy &unknown;",
        ),
        ("__NOTOC__a __init__ __FORCETOC__", "a __init__"),
        (
            "Paris ({{IPA|x}}; {{lang|y}}) lies ({{z}}; born 1900), see main()",
            "Paris lies (born 1900), see main()",
        ),
        ("a {{b}}, c {{d}}. The .NET", "a, c. The .NET"),
        ("{{Infobox\n| name = x\n| y = z\ntext", "Infobox\ntext"),
        ("a [[b c]", "a [[b c]"),
        ("a ]] b }} c", "a ]] b }} c"),
        ("{{a [[b }} c", "c"),
        ("<ref>never closed. a {{b}} c", "never closed. a c"),
        ("\x000\x00 a", "0 a"),
        ("", ""),
        ("{{only|a|template}}", ""),
    ],
)
def test_markup(wikitext, text):
    assert plain_text(wikitext) == text


def test_the_wiki_s_own_names_of_pictures_and_categories():
    german = FILE_PREFIXES | {"datei", "kategorie"}
    wikitext = "a [[Datei:x.png|mini|b]] [[Kategorie:C]] d"
    assert plain_text(wikitext, german) == "a d"
    assert "Kategorie:C" in plain_text(wikitext)


@given(st.lists(st.sampled_from(MARKS), max_size=60).map("".join))
def test_any_sequence_of_marks_gives_text_without_placeholders(wikitext):
    text = plain_text(wikitext)
    assert "\0" not in text
    assert text == text.strip()
    assert "\n\n\n" not in text


@given(
    st.text(alphabet=st.characters(exclude_characters="\0&<>[]{}'|=*#:;_()（）-,. \t"), max_size=80)
)
def test_text_without_markup_keeps_its_words(text):
    assert plain_text(text).split() == text.split()


@given(st.lists(st.sampled_from(MARKS), max_size=30).map("".join))
def test_what_stands_in_a_closed_comment_or_note_does_not_show(inner):
    inner = inner.replace("-->", "").replace("</ref>", "").replace("<!--", "")
    assert plain_text(f"before <!--{inner}--> after") == "before after"
    assert plain_text(f"before<ref>{inner}</ref> after") == "before after"


HOSTILE = [
    *("{{a|", "{{", "[[", "[[a|b ", "{|\n", "<b", "<ref>", '<ref name="', "{{{", "}}", "'"),
    *("{{[[", "{{a|[[b|<ref>", "[http://a ", "[http://a [[ {{ ", "<nowiki>", "<", "</ref"),
    *("( ", "(,", " ", " \n", "&#1", "__A", "* ", "= ", "<!-", "|}", "\n{| [[b|c "),
]
CLOSED = [("[[a|bbbb ", "]]"), ("{{a [[b|c ", "]]}}"), ("{{a|", "}}")]

READ_ALL = """
import json, resource, sys
from modelwright.data.sources.wikitext import plain_text
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
for text, times, end in json.load(sys.stdin):
    plain_text(text * times + end * times)
"""


def test_hostile_texts_do_not_take_time_that_grows_with_the_square():
    """All together take about 6 CPU-seconds; one with quadratic time would pass the limit alone."""
    texts = [(unit, 400_000 // len(unit), "") for unit in HOSTILE]
    texts += [(unit, 40_000, end) for unit, end in CLOSED]
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL], input=json.dumps(texts), text=True, check=False
    )
    assert done.returncode == 0
