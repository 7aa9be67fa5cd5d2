"""Feedback of all kinds, for hypothesis and for tests that need some."""

from datetime import datetime

from hypothesis import strategies as st

from modelwright.data.feedback.record import (
    Answer,
    Choice,
    Correction,
    Feedback,
    Message,
    Rating,
    Thumb,
)

ANY_TEXT = st.text(max_size=20)  # NUL and line ends too, but no halves of surrogate pairs
FILLED = ANY_TEXT.filter(str.strip)
NAMES = st.sampled_from(["", "ana", "Bé", "模型-7"])
ANSWERS = st.builds(Answer, text=ANY_TEXT, model=NAMES)
PROMPTS = st.builds(
    lambda before, last: [*before, Message(role="user", content=last)],
    st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=FILLED),
        max_size=2,
    ),
    FILLED,
)
ABOUT = {
    "prompt": PROMPTS,
    "person": NAMES,
    "created": st.datetimes(min_value=datetime(1900, 1, 1)).map(
        lambda moment: moment.isoformat() + "+02:00"
    ),
    "source": st.sampled_from(["chat", "compare", "import"]),
    "comment": ANY_TEXT.map(lambda text: text.replace("\0", "")),
}
THUMBS = st.builds(Thumb, **ABOUT, answer=ANSWERS, up=st.booleans())
RATINGS = st.builds(
    Rating,
    **ABOUT,
    answer=ANSWERS,
    value=st.floats(1, 5),
    low=st.just(1.0),
    high=st.sampled_from([5.0, 10.0]),
)
CORRECTIONS = st.builds(Correction, **ABOUT, answer=ANSWERS, better=FILLED)
CHOICES = st.builds(
    Choice,
    **ABOUT,
    answers=st.lists(ANSWERS, min_size=2, max_size=2),
    winner=st.sampled_from([0, 1, None]),
    left=st.sampled_from([0, 1, None]),
    seed=st.none() | st.integers(0, 2**63 - 1),
)
FEEDBACK = THUMBS | RATINGS | CORRECTIONS | CHOICES


def user(text: str = "Why?") -> list[Message]:
    """A prompt."""
    return [Message(role="user", content=text)]


def choice(
    winner: int | None,
    *,
    person: str = "",
    models: tuple[str, str] = ("a", "b"),
    left: int | None = None,
    prompt: str = "Why?",
) -> Choice:
    """A choice between the answers "yes" of the first model and "no" of the second."""
    return Choice(
        prompt=user(prompt),
        answers=[Answer(text="yes", model=models[0]), Answer(text="no", model=models[1])],
        winner=winner,
        person=person,
        left=left,
    )


def swapped(one: Choice) -> Choice:
    """The same choice with its answers in the other order."""
    other = {0: 1, 1: 0, None: None}
    return one.model_copy(
        update={
            "answers": one.answers[::-1],
            "winner": other[one.winner],
            "left": other[one.left],
        }
    )


def all_kinds() -> list[Feedback]:
    """One of each kind, about the answer "no" of model "a" or "yes" of model "a" against "b"."""
    answer = Answer(text="no", model="a")
    return [
        Thumb(prompt=user(), answer=answer, up=False, person="ana"),
        Rating(prompt=user(), answer=answer, value=4, low=1, high=5, person="ana"),
        Correction(prompt=user(), answer=answer, better="yes", person="bo"),
        choice(0, person="bo", left=1),
    ]
