"""Encoders: the right hidden state and nothing above it, what a loss can reach, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from architectures import ARCHITECTURES, write_encoder
from launching import need_compiler
from safetensors.torch import load_file, save_file
from tiny import tiny_encoder
from torch import Tensor
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from xalign.encoder import Encoder, export, freeze_unreachable, load_encoder
from xalign.errors import UsageError, XalignError
from xalign.hidden_states import content_mask, hidden_state, pool, resolve_layer
from xalign.masked_lm_head import masked_lm_head
from xalign.model_source import ModelSource

LAYERS = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One checkpoint for each architecture; tests that damage one copy it."""
    root = tmp_path_factory.mktemp("models")
    return {name: write_encoder(root / name, name, layers=LAYERS) for name in ARCHITECTURES}


@pytest.fixture
def load(folders: dict[str, Path]) -> Callable[[str], Encoder]:
    """A fresh encoder of an architecture, in evaluation mode."""

    def fresh(name: str) -> Encoder:
        encoder = load_encoder(ModelSource(name, folders[name]))
        encoder.model.eval()
        return encoder

    return fresh


def padded_batch(encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Two sentences of unequal length, the second padded."""
    tokenizer = encoder.tokenizer
    rows = [tokenizer("baban tekin mosad keta baban")["input_ids"], tokenizer("tekin keta")["input_ids"]]
    pad = tokenizer.pad_token_id
    ids = torch.tensor([row + [pad] * (max(map(len, rows)) - len(row)) for row in rows])
    assert (ids == pad).any()
    return ids, ids != pad


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layer", range(LAYERS + 1))
def test_hidden_state_k_is_the_output_of_layer_k(load: Callable[[str], Encoder], name: str, layer: int) -> None:
    base = load(name).base
    ids, attended = padded_batch(load(name))
    with torch.no_grad():
        states = base(input_ids=ids, attention_mask=attended, output_hidden_states=True).hidden_states
        found = hidden_state(base, ids, attended, layer)
    assert len(states) == LAYERS + 1
    real = attended.unsqueeze(-1)
    torch.testing.assert_close(found * real, states[layer] * real)
    for other in range(LAYERS + 1):
        if other != layer:
            assert (found - states[other])[attended].abs().max() > 1e-2  # a shifted index would be seen


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layer", range(1, LAYERS + 1))
def test_layers_above_are_not_computed_and_are_there_again_afterwards(
    load: Callable[[str], Encoder], name: str, layer: int
) -> None:
    encoder = load(name)
    blocks = encoder.base.transformer.layer if name == "distilbert" else encoder.base.encoder.layer
    calls = [0] * LAYERS

    def count(index: int) -> None:
        calls[index] += 1

    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, index=index: count(index))
    ids, attended = padded_batch(encoder)
    hidden_state(encoder.base, ids, attended, layer)
    assert calls == [1] * layer + [0] * (LAYERS - layer)
    assert len(blocks) == LAYERS
    encoder.base(input_ids=ids, attention_mask=attended)
    assert calls == [2] * layer + [1] * (LAYERS - layer)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_encoder_is_whole_again_after_an_error(load: Callable[[str], Encoder], name: str) -> None:
    encoder = load(name)
    ids, attended = padded_batch(encoder)
    before = list(encoder.model.state_dict())
    with pytest.raises(IndexError):
        hidden_state(encoder.base, torch.full_like(ids, 10**6), attended, 1)
    assert list(encoder.model.state_dict()) == before


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_of_a_lower_layer_equal_those_of_the_full_pass(load: Callable[[str], Encoder], name: str) -> None:
    gradients = []
    for cut in (True, False):
        encoder = load(name)
        ids, attended = padded_batch(encoder)
        if cut:
            state = hidden_state(encoder.base, ids, attended, 2)
        else:
            state = encoder.base(input_ids=ids, attention_mask=attended, output_hidden_states=True).hidden_states[2]
        (state[attended] ** 3).sum().backward()
        gradients.append({n: p.grad for n, p in encoder.model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_gives_the_model_s_own_logits(load: Callable[[str], Encoder], name: str) -> None:
    encoder = load(name)
    ids, attended = padded_batch(encoder)
    with torch.no_grad():
        logits = encoder.model(input_ids=ids, attention_mask=attended).logits
        states = hidden_state(encoder.base, ids, attended, LAYERS)
        found = masked_lm_head(encoder.model)(states)
    torch.testing.assert_close(found[attended], logits[attended])


def loss_of(encoder: Encoder, layer: int | None) -> Tensor:
    """A loss on hidden_states[layer], or on the logits."""
    ids, attended = padded_batch(encoder)
    if layer is None:
        states = hidden_state(encoder.base, ids, attended, LAYERS)
        return torch.logsumexp(masked_lm_head(encoder.model)(states), dim=-1)[attended].sum()
    return (hidden_state(encoder.base, ids, attended, layer)[attended] ** 3).sum()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layer", [1, 3, LAYERS, None])
def test_exactly_the_parameters_without_a_gradient_are_frozen(
    load: Callable[[str], Encoder], name: str, layer: int | None
) -> None:
    free, frozen = load(name), load(name)
    loss_of(free, layer).backward()
    freeze_unreachable(frozen.model, LAYERS if layer is None else layer, head=layer is None)
    reached = {n for n, p in free.model.named_parameters() if p.grad is not None}
    assert {n for n, p in frozen.model.named_parameters() if p.requires_grad} == reached


def test_the_pooler_of_a_bare_encoder_is_frozen(tmp_path: Path) -> None:
    folder = bare_copy(write_encoder(tmp_path / "bert", "bert"), tmp_path / "bare")
    encoder = load_encoder(ModelSource("bare", folder))
    freeze_unreachable(encoder.model, 2, head=False)
    trained = {n for n, p in encoder.model.named_parameters() if p.requires_grad}
    assert trained and not any(n.startswith("pooler") or ".layer.2." in n for n in trained)
    assert any(".layer.1." in n for n in trained)


def bare_copy(folder: Path, target: Path) -> Path:
    """The same checkpoint, saved through `AutoModel`: without its head, and with a pooler."""
    AutoModel.from_pretrained(folder).save_pretrained(target)
    for path in folder.glob("*token*"):
        shutil.copy(path, target)
    return target


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_checkpoint_with_a_head_is_told_from_one_without(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    assert load_encoder(ModelSource(name, folders[name])).has_head
    bare = load_encoder(ModelSource(name, bare_copy(folders[name], tmp_path / "bare")))
    assert not bare.has_head
    assert bare.depth == LAYERS and bare.width == 16
    with pytest.raises(UsageError, match="no masked-LM head, which M needs"):
        masked_lm_head(bare.model)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_exported_encoder_loads_with_and_without_its_head(
    load: Callable[[str], Encoder], tmp_path: Path, name: str
) -> None:
    encoder = load(name)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            parameter.add_(0.01)
    export(encoder, tmp_path)
    ids, attended = padded_batch(encoder)
    with torch.no_grad():
        expected = encoder.model(input_ids=ids, attention_mask=attended, output_hidden_states=True)
        whole = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()(input_ids=ids, attention_mask=attended)
        bare = AutoModel.from_pretrained(tmp_path).eval()(input_ids=ids, attention_mask=attended)
    torch.testing.assert_close(whole.logits, expected.logits)
    torch.testing.assert_close(bare.last_hidden_state, expected.hidden_states[-1])
    text = "baban tekin, қайық 世界"
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == encoder.tokenizer(text)["input_ids"]
    assert not list(tmp_path.glob("*.bin"))


def test_an_export_can_take_its_weights_from_elsewhere(load: Callable[[str], Encoder], tmp_path: Path) -> None:
    encoder = load("xlm-roberta")
    state = {name: tensor + 1 for name, tensor in encoder.model.state_dict().items()}
    export(encoder, tmp_path, state)
    saved = load_file(tmp_path / "model.safetensors")
    name = "roberta.encoder.layer.0.attention.self.query.weight"
    torch.testing.assert_close(saved[name], state[name])
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"


def test_dropout_replaces_every_rate_and_otherwise_stays_the_encoder_s(folders: dict[str, Path]) -> None:
    for name in ARCHITECTURES:
        source = ModelSource(name, folders[name])
        rates = [{m.p for m in load_encoder(source, dropout=d).model.modules() if isinstance(m, torch.nn.Dropout)}
                 for d in (0.0, 0.4, None)]  # fmt: skip
        assert rates == [{0.0}, {0.4}, {0.1}]


def damaged(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def refused(folder: Path, error: type[XalignError], message: str) -> None:
    """One line, with the right class (its exit code) and the words that help."""
    with pytest.raises(XalignError, match=message) as caught:
        load_encoder(ModelSource("x", folder))
    assert type(caught.value) is error
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_model_without_a_tokenizer_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    refused(folder, UsageError, "no tokenizer there")


def test_a_broken_tokenizer_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    (folder / "tokenizer.json").write_text("{")
    refused(folder, UsageError, "its tokenizer cannot be loaded")


def test_a_tokenizer_larger_than_the_embedding_table_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "m", vocab=["aa", "bb"])
    shutil.copy(folders["xlm-roberta"] / "tokenizer.json", folder)
    refused(folder, UsageError, r"the tokenizer has \d+ entries but the embedding table \d+")


@pytest.mark.parametrize("keep", [0, 40, -200])
def test_truncated_weights_are_refused(folders: dict[str, Path], tmp_path: Path, keep: int) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    refused(folder, XalignError, "weights cannot be loaded")


def test_missing_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    (folder / "model.safetensors").unlink()
    refused(folder, XalignError, "weights cannot be loaded")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folders: dict[str, Path], tmp_path: Path, value: float) -> None:
    folder = damaged(folders["bert"], tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.2.output.dense.weight"
    tensors[name][3, 3] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, XalignError, f"{name} holds NaN or infinity")


def test_weights_that_lack_a_layer_are_refused_instead_of_drawn_at_random(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if ".layer.2." not in name},
        folder / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    refused(folder, XalignError, r"layer\.2\.")


def test_an_architecture_without_a_masked_lm_form_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = damaged(folders["xlm-roberta"], tmp_path / "m")
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1}))
    refused(folder, UsageError, "gpt2 has no masked-LM form")
    (folder / "config.json").write_text(json.dumps({"model_type": "perceptron-9"}))
    refused(folder, UsageError, "not a model that transformers knows")


@pytest.mark.parametrize(
    ("layer", "depth", "expected"),
    [
        ("8", 12, 8),
        ("2/3", 12, 8),
        ("1/3", 12, 4),
        ("1/1", 12, 12),
        ("2/3", 6, 4),
        ("2/3", 4, 3),
        ("1", 1, 1),
        ("12", 12, 12),
    ],
)
def test_a_layer_is_a_number_or_a_share_of_the_depth(layer: str, depth: int, expected: int) -> None:
    assert resolve_layer(layer, depth) == expected


@pytest.mark.parametrize("layer", ["13", "0", "-1", "4/3", "1.5", "last", "1/0", "nan", "inf"])
def test_a_layer_that_does_not_exist_is_refused(layer: str) -> None:
    with pytest.raises(UsageError, match=f"layer='?{layer}"):
        resolve_layer(layer, 12)


def test_unknown_words_are_content_and_specials_are_not(load: Callable[[str], Encoder]) -> None:
    for name in ARCHITECTURES:
        encoder = load(name)
        t = encoder.tokenizer
        ids = torch.tensor([[t.cls_token_id, t.unk_token_id, 30, t.mask_token_id, t.sep_token_id, t.pad_token_id]])
        assert content_mask(ids, encoder.special_ids).tolist() == [[False, True, True, False, False, False]]


def test_pooling_averages_content_in_fp32() -> None:
    hidden = torch.arange(12.0).reshape(1, 4, 3)
    content = torch.tensor([[False, True, True, False]])
    torch.testing.assert_close(pool(hidden, content), torch.tensor([[4.5, 5.5, 6.5]]))
    torch.testing.assert_close(pool(hidden, content, "cls"), torch.tensor([[0.0, 1.0, 2.0]]))
    assert pool(hidden, torch.zeros(1, 4, dtype=torch.bool)).tolist() == [[0, 0, 0]]
    # 3,000 halves of 1 would stop growing at 2,048.
    assert pool(torch.ones(1, 3000, 1, dtype=torch.half), torch.ones(1, 3000, dtype=torch.bool)).item() == 1


def test_padding_does_not_change_a_sentence(load: Callable[[str], Encoder]) -> None:
    for name in ARCHITECTURES:
        encoder = load(name)
        ids, attended = padded_batch(encoder)
        alone = ids[1:, : int(attended[1].sum())]
        with torch.no_grad():
            together = pool(hidden_state(encoder.base, ids, attended, 2), content_mask(ids, encoder.special_ids))
            single = pool(
                hidden_state(encoder.base, alone, alone == alone, 2), content_mask(alone, encoder.special_ids)
            )
        torch.testing.assert_close(together[1:], single, rtol=1e-4, atol=1e-5)


def test_effective_length_is_what_the_positions_allow(load: Callable[[str], Encoder]) -> None:
    for name in ARCHITECTURES:  # all have room for 64 tokens; XLM-R's table is 2 larger
        encoder = load(name)
        assert [encoder.effective_length(n) for n in (32, 64, 65, 1000)] == [32, 64, 64, 64]
        ids = torch.full((1, 64), 30)
        hidden_state(encoder.base, ids, ids == ids, 1)
        with pytest.raises((IndexError, RuntimeError)):
            longer = torch.full((1, 65), 30)
            hidden_state(encoder.base, longer, longer == longer, 1)


def gradients_under(encoder: Encoder) -> dict[str, Tensor]:
    """Gradients of a loss on all layers, in training mode with a fixed dropout."""
    encoder.model.train()
    torch.manual_seed(3)
    loss_of(encoder, None).backward()
    return {name: p.grad for name, p in encoder.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_checkpointed_layers_keep_fewer_activations_and_give_the_same_gradients(
    folders: dict[str, Path], name: str
) -> None:
    kept, found = [], []
    for checkpointed in (False, True):
        encoder = load_encoder(ModelSource(name, folders[name]), dropout=0.3)
        encoder.set_execution(checkpointed=checkpointed)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            found.append(gradients_under(encoder))
        kept.append(len(sizes))
    assert kept[1] < kept[0]
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient)


def test_compiled_layers_give_the_same_gradients_and_export_under_the_same_names(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    need_compiler()
    found = []
    for compiled in (False, True):
        encoder = load_encoder(ModelSource("xlm-roberta", folders["xlm-roberta"]), dropout=0.0)
        encoder.set_execution(compiled=compiled)
        found.append(gradients_under(encoder))
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-4, atol=1e-5)
    export(encoder, tmp_path / "compiled")
    assert (
        load_file(tmp_path / "compiled" / "model.safetensors").keys()
        == load_file(folders["xlm-roberta"] / "model.safetensors").keys()
    )


def test_compiling_without_a_compiler_says_what_to_install(
    load: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match="install g"):
        load("xlm-roberta").set_execution(compiled=True)
