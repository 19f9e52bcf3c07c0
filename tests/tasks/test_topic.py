"""A sentence is one unit with its topic; long ones are cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_data, tiny_encoder

from xalign.data.languages import find
from xalign.data.layout import DataDirectory
from xalign.data.topics import TOPICS, TopicSentence
from xalign.encoder import load_encoder
from xalign.errors import UsageError, XalignError
from xalign.model_source import find_model
from xalign.pair_batches import Layout
from xalign.tasks.topic import TopicTask


def test_sentences_keep_their_topics_and_are_cut_at_the_maximum_length(tmp_path: Path) -> None:
    encoder = load_encoder(find_model(str(tiny_encoder(tmp_path, layers=1, width=8))))
    layout = Layout.of(encoder.tokenizer, encoder.special_ids.tolist(), "xlm-roberta", 5, 5)
    texts = [TopicSentence("7", "travel", "bemod tamin"), TopicSentence("9", "health", "bemod tamin kakan bated sewed")]
    found = TopicTask().examples(texts, encoder, layout)
    reference = encoder.tokenizer(texts[0].text)["input_ids"]
    assert found.inputs[0].tolist() == reference
    assert len(found.inputs[1]) == 5 and found.inputs[1][-1] == encoder.tokenizer.sep_token_id
    assert [TOPICS[label] for label in found.labels] == ["travel", "health"]
    assert list(found.ids) == ["7", "9"] and not found.positions


def test_an_unknown_topic_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = DataDirectory(tiny_data(tmp_path)).topics(find("eng"), "test")
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split("\t")[1], "gossip")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(XalignError, match=r"test\.tsv:4: unknown topic 'gossip'"):
        TopicTask().load(path)


def test_a_treebank_is_refused(tmp_path: Path) -> None:
    data = DataDirectory(tiny_data(tmp_path))
    with pytest.raises(UsageError, match="concerns the task pos"):
        TopicTask().file(data, find("eng"), "train", "English-EWT")
