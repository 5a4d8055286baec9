"""Small models with random weights, written as GGUF in milliseconds.

F32 throughout, so that equal inputs give nearly equal outputs however they are
batched. The tokenizer of the generating ones knows single characters only:
printable ASCII and, as bytes, everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFWriter, PoolingType, TokenType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

N_EMBD = 64
N_FF = 128
N_HEAD = 4
N_HEAD_KV = 2
N_CTX_TRAIN = 4096
PRINTABLE = [chr(code) for code in range(0x21, 0x7F)]
SPACE = "▁"
DEFAULT_SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>")

# Of the generating models with the default special tokens.
SPECIAL_TOKENS = range(3, 3 + len(DEFAULT_SPECIAL_TOKENS))
BYTE_TOKENS = range(SPECIAL_TOKENS.stop, SPECIAL_TOKENS.stop + 256)

# Standard deviation of random weights: large enough for confident, varied output.
SPREAD = 0.4


class _Weights:
    """Random tensors of one model; the same seed writes the same file."""

    def __init__(self, writer: GGUFWriter, seed: int) -> None:
        self._writer = writer
        self._random = np.random.default_rng(seed)

    def random(self, name: str, *shape: int, spread: float = SPREAD) -> None:
        """`shape` outermost dimension first, as in NumPy."""
        values = self._random.standard_normal(shape).astype(np.float32)
        self._writer.add_tensor(name, values * np.float32(spread / np.sqrt(shape[-1]) * 4))

    def near(self, value: float, name: str, *shape: int) -> None:
        values = self._random.standard_normal(shape) * 0.02 + value
        self._writer.add_tensor(name, values.astype(np.float32))

    def exactly(self, name: str, values: np.ndarray) -> None:
        self._writer.add_tensor(name, values.astype(np.float32))


def _add_character_tokenizer(
    writer: GGUFWriter, special_tokens: Sequence[str], chat_template: str | None
) -> int:
    """SentencePiece with single characters; returns the size of the vocabulary."""
    tokens = ["<unk>", "<s>", "</s>"]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    for token in special_tokens:
        tokens.append(token)
        types.append(TokenType.CONTROL)
    for byte in range(256):
        tokens.append(f"<0x{byte:02X}>")
        types.append(TokenType.BYTE)
    for character in [SPACE, *PRINTABLE]:
        tokens.append(character)
        types.append(TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    return len(tokens)


def _finish(writer: GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _attention(weights: _Weights, layer: int, *, n_head_kv: int = N_HEAD_KV) -> None:
    n_kv = N_EMBD // N_HEAD * n_head_kv
    weights.random(f"blk.{layer}.attn_q.weight", N_EMBD, N_EMBD)
    weights.random(f"blk.{layer}.attn_k.weight", n_kv, N_EMBD)
    weights.random(f"blk.{layer}.attn_v.weight", n_kv, N_EMBD)
    weights.random(f"blk.{layer}.attn_output.weight", N_EMBD, N_EMBD)


def _gated_feed_forward(weights: _Weights, layer: int) -> None:
    weights.near(1.0, f"blk.{layer}.ffn_norm.weight", N_EMBD)
    weights.random(f"blk.{layer}.ffn_gate.weight", N_FF, N_EMBD)
    weights.random(f"blk.{layer}.ffn_up.weight", N_FF, N_EMBD)
    weights.random(f"blk.{layer}.ffn_down.weight", N_EMBD, N_FF)


def _state_space(weights: _Weights, layer: int, *, with_norms: bool) -> None:
    n_inner, n_state, n_conv, n_rank = 2 * N_EMBD, 8, 4, 4
    prefix = f"blk.{layer}.ssm"
    weights.random(f"{prefix}_in.weight", 2 * n_inner, N_EMBD)
    weights.random(f"{prefix}_conv1d.weight", n_inner, n_conv)
    weights.near(0.0, f"{prefix}_conv1d.bias", n_inner)
    weights.random(f"{prefix}_x.weight", n_rank + 2 * n_state, n_inner)
    weights.random(f"{prefix}_dt.weight", n_inner, n_rank)
    weights.near(-2.0, f"{prefix}_dt.bias", n_inner)
    if with_norms:
        weights.near(1.0, f"{prefix}_dt_norm.weight", n_rank)
        weights.near(1.0, f"{prefix}_b_norm.weight", n_state)
        weights.near(1.0, f"{prefix}_c_norm.weight", n_state)
    weights.exactly(f"{prefix}_a", -np.tile(np.arange(1, n_state + 1), (n_inner, 1)))
    weights.near(1.0, f"{prefix}_d", n_inner)
    weights.random(f"{prefix}_out.weight", N_EMBD, n_inner)


def _add_state_space_keys(writer: GGUFWriter) -> None:
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(2 * N_EMBD)
    writer.add_ssm_state_size(8)
    writer.add_ssm_time_step_rank(4)


def _add_transformer_keys(writer: GGUFWriter, n_layer: int) -> None:
    writer.add_block_count(n_layer)
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_layer_norm_rms_eps(1e-5)


def tiny_llama(
    path: Path,
    *,
    n_layer: int = 2,
    seed: int = 1,
    special_tokens: Sequence[str] = DEFAULT_SPECIAL_TOKENS,
    chat_template: str | None = None,
) -> Path:
    """A causal model with plain attention; returns `path`."""
    writer = GGUFWriter(path, "llama")
    _add_transformer_keys(writer, n_layer)
    writer.add_rope_dimension_count(N_EMBD // N_HEAD)
    n_vocab = _add_character_tokenizer(writer, special_tokens, chat_template)
    writer.add_vocab_size(n_vocab)
    weights = _Weights(writer, seed)
    weights.random("token_embd.weight", n_vocab, N_EMBD)
    weights.near(1.0, "output_norm.weight", N_EMBD)
    weights.random("output.weight", n_vocab, N_EMBD)
    for layer in range(n_layer):
        weights.near(1.0, f"blk.{layer}.attn_norm.weight", N_EMBD)
        _attention(weights, layer)
        _gated_feed_forward(weights, layer)
    return _finish(writer, path)


def tiny_sliding_window(path: Path, *, n_layer: int = 4, window: int = 32, seed: int = 2) -> Path:
    """A causal model (Gemma 2) where every other layer sees only `window` tokens."""
    writer = GGUFWriter(path, "gemma2")
    _add_transformer_keys(writer, n_layer)
    writer.add_key_length(N_EMBD // N_HEAD)
    writer.add_value_length(N_EMBD // N_HEAD)
    writer.add_sliding_window(window)
    n_vocab = _add_character_tokenizer(writer, DEFAULT_SPECIAL_TOKENS, None)
    writer.add_vocab_size(n_vocab)
    weights = _Weights(writer, seed)
    weights.random("token_embd.weight", n_vocab, N_EMBD)
    weights.near(1.0, "output_norm.weight", N_EMBD)
    for layer in range(n_layer):
        weights.near(1.0, f"blk.{layer}.attn_norm.weight", N_EMBD)
        _attention(weights, layer)
        weights.near(1.0, f"blk.{layer}.post_attention_norm.weight", N_EMBD)
        _gated_feed_forward(weights, layer)
        weights.near(1.0, f"blk.{layer}.post_ffw_norm.weight", N_EMBD)
    return _finish(writer, path)


def tiny_mamba(path: Path, *, n_layer: int = 2, seed: int = 3) -> Path:
    """A recurrent model: its state cannot be rolled back."""
    writer = GGUFWriter(path, "mamba")
    writer.add_block_count(n_layer)
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_state_space_keys(writer)
    n_vocab = _add_character_tokenizer(writer, DEFAULT_SPECIAL_TOKENS, None)
    writer.add_vocab_size(n_vocab)
    weights = _Weights(writer, seed)
    weights.random("token_embd.weight", n_vocab, N_EMBD)
    weights.near(1.0, "output_norm.weight", N_EMBD)
    weights.random("output.weight", n_vocab, N_EMBD)
    for layer in range(n_layer):
        weights.near(1.0, f"blk.{layer}.attn_norm.weight", N_EMBD)
        _state_space(weights, layer, with_norms=False)
    return _finish(writer, path)


def tiny_hybrid(path: Path, *, n_layer: int = 4, seed: int = 4) -> Path:
    """A hybrid model (Jamba): layers with attention and recurrent layers by turns."""
    writer = GGUFWriter(path, "jamba")
    writer.add_block_count(n_layer)
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv([0 if layer % 2 == 0 else N_HEAD_KV for layer in range(n_layer)])
    writer.add_layer_norm_rms_eps(1e-5)
    _add_state_space_keys(writer)
    n_vocab = _add_character_tokenizer(writer, DEFAULT_SPECIAL_TOKENS, None)
    writer.add_vocab_size(n_vocab)
    weights = _Weights(writer, seed)
    weights.random("token_embd.weight", n_vocab, N_EMBD)
    weights.near(1.0, "output_norm.weight", N_EMBD)
    weights.random("output.weight", n_vocab, N_EMBD)
    for layer in range(n_layer):
        weights.near(1.0, f"blk.{layer}.attn_norm.weight", N_EMBD)
        if layer % 2 == 0:
            _state_space(weights, layer, with_norms=True)
        else:
            _attention(weights, layer)
        _gated_feed_forward(weights, layer)
    return _finish(writer, path)


def _add_word_piece_tokenizer(writer: GGUFWriter) -> int:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    types = [TokenType.CONTROL, TokenType.UNKNOWN, *[TokenType.CONTROL] * 3]
    characters = [character for character in PRINTABLE if not character.isupper()]
    for text in [*(SPACE + character for character in characters), *characters]:
        tokens.append(text)
        types.append(TokenType.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)
    return len(tokens)


def tiny_bert(
    path: Path,
    *,
    n_layer: int = 2,
    seed: int = 5,
    pooling: PoolingType = PoolingType.MEAN,
    rank_labels: Sequence[str] = (),
) -> Path:
    """An encoder for embeddings only; with `rank_labels` it has a classifier for rank pooling."""
    writer = GGUFWriter(path, "bert")
    writer.add_block_count(n_layer)
    writer.add_context_length(512)
    writer.add_embedding_length(N_EMBD)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    if rank_labels:
        writer.add_classifier_output_labels(rank_labels)
    n_vocab = _add_word_piece_tokenizer(writer)
    writer.add_vocab_size(n_vocab)
    weights = _Weights(writer, seed)
    weights.random("token_embd.weight", n_vocab, N_EMBD)
    weights.random("token_types.weight", 2, N_EMBD)
    weights.random("position_embd.weight", 512, N_EMBD)
    weights.near(1.0, "token_embd_norm.weight", N_EMBD)
    weights.near(0.0, "token_embd_norm.bias", N_EMBD)
    for layer in range(n_layer):
        prefix = f"blk.{layer}"
        _attention(weights, layer, n_head_kv=N_HEAD)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.near(0.0, f"{prefix}.{name}.bias", N_EMBD)
        weights.random(f"{prefix}.ffn_up.weight", N_FF, N_EMBD)
        weights.near(0.0, f"{prefix}.ffn_up.bias", N_FF)
        weights.random(f"{prefix}.ffn_down.weight", N_EMBD, N_FF)
        weights.near(0.0, f"{prefix}.ffn_down.bias", N_EMBD)
        for name in ("attn_output_norm", "layer_output_norm"):
            weights.near(1.0, f"{prefix}.{name}.weight", N_EMBD)
            weights.near(0.0, f"{prefix}.{name}.bias", N_EMBD)
    if rank_labels:
        weights.random("cls.weight", N_EMBD, N_EMBD)
        weights.near(0.0, "cls.bias", N_EMBD)
        weights.random("cls.output.weight", len(rank_labels), N_EMBD)
        weights.near(0.0, "cls.output.bias", len(rank_labels))
    return _finish(writer, path)
