"""Every family of OpenCLIP's text towers at toy size, with random weights and tokenizers trained on a few sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

TEXTS = [
    "a photo of a rose.",
    "a tulip",
    "oak tree leaf with rust, a type of disease",
    "many words about photographs of flowers",
    "ox eye daisy crimson blue",
] * 5
VISION = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
TEXT = {"width": 64, "heads": 2, "layers": 2}
LENGTH = 24


def word_pieces(folder: Path) -> int:
    """Save a lower-casing WordPiece tokenizer, as BERT's and CLIPA's; returns the number of tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.normalizer = pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer()
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in names.items()}
    )
    fast.save_pretrained(folder)
    return len(fast)


def sentence_pieces(folder: Path, start: bool) -> int:
    """Save a Unigram tokenizer: with a start token, as XLM-R's, or without one, as T5's and SigLIP's.

    SigLIP pads with its end token.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "</s>", "<pad>", "<unk>"] if start else ["<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS, trainer)
    around = ["<s>", "</s>"] if start else ["</s>"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if start else "$A </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in around],
    )
    more = {"bos_token": "<s>", "pad_token": "<pad>"} if start else {"pad_token": "</s>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", **more)
    fast.save_pretrained(folder)
    return len(fast)


def siglip(folder: Path) -> dict[str, Any]:
    n = sentence_pieces(folder / "tokenizer", start=False)
    text = {
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    }
    return {"custom_text": True, "text_cfg": {**TEXT, **text, "context_length": LENGTH, "vocab_size": n}}


def clipa(folder: Path) -> dict[str, Any]:
    n = word_pieces(folder / "tokenizer")
    text = {"no_causal_mask": True, "pool_type": "last", "tokenizer_kwargs": {"strip_sep_token": True}}
    return {"text_cfg": {**TEXT, **text, "context_length": LENGTH, "vocab_size": n}}


def worldwide(folder: Path) -> dict[str, Any]:
    """Causal and read at its end token, with a tokenizer of Hugging Face: one tree, like CLIP's."""
    n = sentence_pieces(folder / "tokenizer", start=True)
    return {"text_cfg": {**TEXT, "pool_type": "eos", "eos_id": 1, "context_length": LENGTH, "vocab_size": n}}


def mobileclip(folder: Path) -> dict[str, Any]:
    return {
        "custom_text": True,
        "text_cfg": {**TEXT, "no_causal_mask": True, "context_length": 77, "vocab_size": 49408},
    }


def coca(folder: Path) -> dict[str, Any]:
    text = {**TEXT, "embed_cls": True, "output_tokens": True, "context_length": 76, "vocab_size": 49408}
    decoder = {"width": 64, "context_length": 76, "vocab_size": 49408, "mlp_ratio": 2, "layers": 1, "dim_head": 32}
    decoder |= {"heads": 2, "n_queries": 8, "attn_pooler_heads": 2}
    pooling = {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    vision = {**VISION, **pooling}
    return {"custom_text": True, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder}


def _hugging_face(folder: Path, config: Any, pooler: str, projection: str) -> dict[str, Any]:
    config.save_pretrained(folder / "text_model")
    text = {"hf_model_name": str(folder / "text_model"), "hf_pooler_type": pooler, "hf_proj_type": projection}
    return {"custom_text": True, "text_cfg": {**text, "context_length": LENGTH, "hf_model_pretrained": False}}


def xlm_roberta(folder: Path) -> dict[str, Any]:
    from transformers import XLMRobertaConfig

    n = sentence_pieces(folder / "tokenizer", start=True)
    size: dict[str, Any] = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    }
    ids: dict[str, Any] = {"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1}
    return _hugging_face(
        folder, XLMRobertaConfig(vocab_size=n, max_position_embeddings=60, **size, **ids), "mean_pooler", "mlp"
    )


def nllb(folder: Path) -> dict[str, Any]:
    """Its embedding multiplies word vectors by the square root of their width."""
    from transformers import M2M100Config

    n = sentence_pieces(folder / "tokenizer", start=True)
    size: dict[str, Any] = {"encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 128}
    size |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 64}
    ids: dict[str, Any] = {"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 1}
    config = M2M100Config(vocab_size=n, d_model=64, max_position_embeddings=60, **size, **ids)
    return _hugging_face(folder, config, "cls_pooler", "linear")


def mt5(folder: Path) -> dict[str, Any]:
    from transformers import MT5Config

    n = sentence_pieces(folder / "tokenizer", start=False)
    config = MT5Config(vocab_size=n, d_model=64, d_kv=32, d_ff=128, num_layers=2, num_heads=2, pad_token_id=0)
    return _hugging_face(folder, config, "mean_pooler", "mlp")


FAMILIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "siglip": siglip,
    "clipa": clipa,
    "worldwide": worldwide,
    "mobileclip": mobileclip,
    "coca": coca,
    "xlm_roberta": xlm_roberta,
    "nllb": nllb,
    "mt5": mt5,
}


def write_tower(folder: Path, family: str, name: str = "") -> tuple[str, Any]:
    """Write a toy tower of a family into a folder: its architecture, its tokenizer and its weights.

    Returns:
        the tower's name for `load_tower`, and OpenCLIP's own model.
    """
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    name = name or f"toy_{family}_{abs(hash(str(folder))) % 10**8}"
    config = {"embed_dim": 48, "vision_cfg": VISION, **FAMILIES[family](folder)}
    if (folder / "tokenizer").is_dir():
        config["text_cfg"]["hf_tokenizer_name"] = str(folder / "tokenizer")
    path = folder / "architectures"
    path.mkdir(exist_ok=True)
    (path / f"{name}_.json").write_text(json.dumps(config))
    open_clip.add_model_config(path)
    torch.manual_seed(0)
    model = open_clip.create_model(f"{name}_", pretrained_hf=False).eval()
    for parameter_name, parameter in model.named_parameters():  # biases start at zero, which would hide mistakes
        if parameter_name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    (folder / f"{name}.json").write_text(json.dumps(config))
    torch.save(model.state_dict(), folder / "weights.pt")
    return f"open_clip:{name}@{folder / 'weights.pt'}", model
