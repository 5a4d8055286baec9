"""A multimodal projector with random weights: real plumbing, no understanding.

Gemma 3's kind (SigLIP and one projection): every image becomes the same number
of tokens, [image_pixels / patch_pixels / merge]² of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFWriter

if TYPE_CHECKING:
    from pathlib import Path

N_EMBD = 32
N_FF = 64
N_HEAD = 2
PATCH_PIXELS = 8


def tiny_projector(
    path: Path,
    *,
    n_embd_text: int,
    patches_per_side: int = 8,
    merge: int = 2,
    n_layer: int = 1,
    seed: int = 6,
) -> Path:
    """For a model whose embeddings are `n_embd_text` wide; returns `path`.

    An image has (`patches_per_side` / `merge`)² tokens: 16 unless told otherwise.
    """
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "clip")
    writer.add_string("general.type", "mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "gemma3")
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "embedding_length": N_EMBD,
        "feed_forward_length": N_FF,
        "block_count": n_layer,
        "projection_dim": n_embd_text,
        "attention.head_count": N_HEAD,
        "image_size": patches_per_side * PATCH_PIXELS,
        "patch_size": PATCH_PIXELS,
        "projector.scale_factor": merge,
    }.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])

    def add(name: str, *shape: int, mean: float = 0.0, spread: float = 0.2) -> None:
        values = random.standard_normal(shape) * spread + mean
        writer.add_tensor(name, values.astype(np.float32))

    add("v.patch_embd.weight", N_EMBD, 3, PATCH_PIXELS, PATCH_PIXELS)
    add("v.patch_embd.bias", N_EMBD)
    add("v.position_embd.weight", patches_per_side**2, N_EMBD)
    for layer in range(n_layer):
        prefix = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"{prefix}.{name}.weight", N_EMBD, N_EMBD)
            add(f"{prefix}.{name}.bias", N_EMBD)
        for name in ("ln1", "ln2"):
            add(f"{prefix}.{name}.weight", N_EMBD, mean=1.0, spread=0.02)
            add(f"{prefix}.{name}.bias", N_EMBD)
        add(f"{prefix}.ffn_up.weight", N_FF, N_EMBD)
        add(f"{prefix}.ffn_up.bias", N_FF)
        add(f"{prefix}.ffn_down.weight", N_EMBD, N_FF)
        add(f"{prefix}.ffn_down.bias", N_EMBD)
    add("v.post_ln.weight", N_EMBD, mean=1.0, spread=0.02)
    add("v.post_ln.bias", N_EMBD)
    add("mm.soft_emb_norm.weight", N_EMBD, mean=1.0, spread=0.02)
    add("mm.input_projection.weight", N_EMBD, n_embd_text, spread=0.5)
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
