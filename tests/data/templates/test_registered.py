"""The registered formats, against the same formats written out in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tiny_tokenizer import SPECIAL, tiny_tokenizer
from tests.golden.rendering import marked
from xtune.data.templates import build_template
from xtune.data.templates.render import Renderer
from xtune.data.tokenize import Encoder
from xtune.errors import RegistryError, TemplateError
from xtune.structures import IGNORE_INDEX

IM = "<|im_start|>{role}\n{content}<|im_end|>\n"
HEADER = "<|start_header_id|>{role}<|end_header_id|>\n\n"


def chatml(messages):
    for role, content in messages:
        if role == "assistant":
            yield f"<|im_start|>assistant\n«{content}<|im_end|>»\n"
        else:
            yield IM.format(role=role, content=content)


def internlm2_chat(messages):
    yield "<s>"
    yield from chatml(messages)


def internlm_chat(messages):
    yield "<s>"
    for role, content in messages:
        yield {
            "system": f"<|System|>:{content}\n",
            "user": f"<|User|>:{content}<eoh>\n",
            "assistant": f"<|Bot|>:«{content}<eoa>»\n",
        }[role]


def default(messages):
    yield "<s>"
    for role, content in messages:
        yield {
            "system": f"<|System|>:{content}\n",
            "user": f"<|User|>:{content}\n",
            "assistant": f"<|Bot|>:«{content}</s>»\n",
        }[role]


def llama3_chat(messages):
    yield "<s>"
    for role, content in messages:
        text = content.strip() + "<|eot_id|>"
        answer = f"«{text}»" if role == "assistant" else text
        yield HEADER.format(role=role) + answer


def llama2_chat(messages):
    system = ""
    for role, content in messages:
        if role == "system":
            system = f"<<SYS>>\n{content}\n<</SYS>>\n\n" if content else ""
        elif role == "user":
            yield f"<s>[INST] {system}{content} [/INST]"
            system = ""
        else:
            yield f"« {content} </s>»"


def mistral(messages):
    yield "<s>"
    system = ""
    for role, content in messages:
        if role == "system":
            system = f"{content}\n\n" if content else ""
        elif role == "user":
            yield f" [INST] {system}{content} [/INST]"
            system = ""
        else:
            yield f"« {content}</s>»"


def glm4(messages):
    yield "[gMASK]<sop>"
    opened = False  # an answer ends with what opens the next question
    for role, content in messages:
        if role == "assistant":
            yield f"<|assistant|>«\n{content}<|user|>»"
        else:
            yield f"\n{content}" if opened else f"<|{role}|>\n{content}"
        opened = role == "assistant"


def deepseek_v2(messages):
    yield "<s>"
    for role, content in messages:
        yield {
            "system": f"{content}\n\n" if content else "",
            "user": f"User: {content}\n\n",
            "assistant": f"Assistant:« {content}</s>»",
        }[role]


def zephyr(messages):
    for role, content in messages:
        yield f"<|{role}|>\n" + (
            f"«{content}</s>»\n" if role == "assistant" else f"{content}</s>\n"
        )


FORMATS = [
    chatml,
    deepseek_v2,
    default,
    glm4,
    internlm2_chat,
    internlm_chat,
    llama2_chat,
    llama3_chat,
    mistral,
    zephyr,
]

# Any text, with special tokens and the formats' own marks among it; « and » are the tests'.
texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="«»", exclude_categories=["Cs"]), max_size=12),
        st.sampled_from(
            [*SPECIAL, "\n", "\n\n", " ", "[/INST]", "<|Bot|>:", "{{ x }}", "{% if %}"]
        ),
    ),
    max_size=4,
).map("".join)
turns = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)


@st.composite
def dialogues(draw):
    messages = [("system", draw(texts))] if draw(st.booleans()) else []
    for question, answer in draw(turns):
        messages += [("user", question), ("assistant", answer)]
    return messages


@pytest.mark.parametrize("written_out", FORMATS)
@settings(max_examples=60, deadline=None)
@given(messages=dialogues())
def test_registered_template_is_the_format_written_out(written_out, messages):
    template = build_template(written_out.__name__, TOKENIZER)
    conversation = {"messages": [{"role": r, "content": c} for r, c in messages]}
    assert marked(template.spans(conversation)) == "".join(written_out(messages))


@pytest.mark.parametrize("written_out", FORMATS)
@settings(max_examples=60, deadline=None)
@given(messages=dialogues())
def test_first_prompt_and_all_trained_text_survive_tokenisation(written_out, messages):
    template = build_template(written_out.__name__, TOKENIZER)
    messages = [{"role": r, "content": c} for r, c in messages]
    spans = template.spans({"messages": messages})
    sample = Encoder(TOKENIZER)([spans])[0]
    trained = sample.labels != IGNORE_INDEX
    text = "".join(span.text for span in spans if span.trained)
    assert TOKENIZER.decode(sample.input_ids[trained]) == text
    first = next(i for i, m in enumerate(messages) if m["role"] == "assistant")
    prompt = Renderer(template.jinja, TOKENIZER)(messages[:first], add_generation_prompt=True)
    ids = TOKENIZER.encode(prompt, add_special_tokens=False)
    assert sample.input_ids[: len(ids)].tolist() == ids
    assert not trained[: len(ids)].any()
    assert trained[len(ids)]


TOKENIZER = tiny_tokenizer()


def test_bos_is_left_out_where_the_tokenizer_has_none():
    template = build_template("internlm_chat", tiny_tokenizer(bos=None))
    conversation = {
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    }
    assert marked(template.spans(conversation)) == "<|User|>:?<eoh>\n<|Bot|>:«!<eoa>»\n"


def test_end_token_that_is_no_token_of_the_vocabulary_is_refused():
    tokenizer = tiny_tokenizer(without=("<eoa>",))
    with pytest.raises(TemplateError) as caught:
        build_template("internlm_chat", tokenizer)
    message = str(caught.value)
    assert "'<eoa>'" in message
    assert "</s>" in message  # what the tokenizer has
    assert "'auto'" in message  # what to do


def test_eos_template_without_an_eos_is_refused():
    with pytest.raises(TemplateError, match="EOS"):
        build_template("default", tiny_tokenizer(eos=None))


def test_unknown_template_offers_the_nearest():
    with pytest.raises(RegistryError, match="'internlm_chat'"):
        build_template("internlm_chatt", TOKENIZER)
