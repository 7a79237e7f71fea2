"""Reads learned parameters from checkpoints: this repository's, and those of CoOp's repository and its kin.

Those hold one task, in `prompt_learner/model.pth.tar-<epoch>`: `ctx`, (n_ctx, ctx_dim) for all classes or
(classes, n_ctx, ctx_dim); what the method adds, such as CoCoOp's `meta_net`; and the embeddings of the start token
(`token_prefix`) and of the class names (`token_suffix`). Names are embedded anew here; the saved embeddings tell which
CLIP the contexts were trained for, and for which classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import torch.nn.functional as F
from dassl.utils import load_checkpoint
from torch import Tensor

from common.errors import InputError
from common.notices import notice
from common.text import counted, one_line
from prompting.padded_text import AnyText
from trainers.engine.contexts import PromptLearner

OTHERS = ("token_prefix", "token_suffix", "token_middle")
SAME = 0.99  # cosine of one embedding in float16 and in float32; embeddings of two CLIPs are far below


def read_saved(path: Path | str) -> tuple[dict[str, Tensor], int | None]:
    """Return the tensors of a checkpoint by name, and its epoch if it says so.

    Raises:
        InputError: it holds no tensors. Other errors are those of `dassl.utils.load_checkpoint`.
    """
    saved = load_checkpoint(str(path))
    state = saved.get("state_dict", saved) if isinstance(saved, Mapping) else {}
    tensors = {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no learned parameters; give a checkpoint in a run's prompt_learner/.")
    start = "prompt_learner."  # of a whole model, with its CLIP
    inner = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    epoch = saved.get("epoch")
    return inner or tensors, epoch if isinstance(epoch, int) else None


def is_foreign(saved: Mapping[str, Tensor], learner: PromptLearner) -> bool:
    """Return True if a checkpoint has the names that CoOp's repository gives."""
    return "ctx" in saved and "ctx" not in learner.state_dict()


def adopt(
    saved: Mapping[str, Tensor], learner: PromptLearner, text: AnyText, classnames: Sequence[str], path: Path | str
) -> dict[str, Tensor]:
    """Return a learner's state made of a foreign checkpoint; every task of the learner gets the same parameters.

    Contexts of single classes go to the classes of the same name.

    Raises:
        InputError: the checkpoint is another method's, another CLIP's or, with a context per class, for other classes,
            or its shapes are not those of the learner.
    """
    try:
        return _adopted(saved, learner, text, classnames, path)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:  # tensors of odd dimensions
        raise InputError(f"{path} does not fit: {one_line(error)}.") from None


def _adopted(
    saved: Mapping[str, Tensor], learner: PromptLearner, text: AnyText, classnames: Sequence[str], path: Path | str
) -> dict[str, Tensor]:
    names = learner.foreign_names
    lacking = [name for name in names if name not in saved]
    unknown = [name for name in saved if name not in names and name not in OTHERS]
    if not names or lacking or unknown:
        odd = f"it lacks {lacking[0]}" if lacking else f"it holds {(unknown or ['ctx'])[0]}"
        raise InputError(f"{path} is a checkpoint of another repository's method and does not fit this one: {odd}.")
    _check_clip(saved, text, path)
    state: dict[str, Tensor] = {}
    wanted = learner.state_dict()
    for name, pattern in names.items():
        ours = dict(_of_tasks(wanted, pattern))
        value = saved[name]
        if learner.class_specific and value.dim() == 3 and len(value) == sum(map(len, ours.values())):
            order = _rows_of(classnames, saved, text, path)
            parts = value[order].split([len(tensor) for tensor in ours.values()])
        else:
            parts = (value,) * len(ours)
        for (key, tensor), part in zip(ours.items(), parts, strict=True):
            if part.shape != tensor.shape:
                raise _misfit(path, name, value, tensor, learner)
            state[key] = part
        if len(ours) > 1 and not learner.class_specific and name == "ctx":
            notice(f"{path} was trained on one task; all {len(ours)} tasks use its context.")
    return state


def _of_tasks(wanted: Mapping[str, Tensor], pattern: str) -> Iterator[tuple[str, Tensor]]:
    for task in count():
        key = pattern.format(task)
        if key not in wanted:
            return
        yield key, wanted[key]


def _check_clip(saved: Mapping[str, Tensor], text: AnyText, path: Path | str) -> None:
    start = saved.get("token_prefix")
    if start is None or not start.numel():
        notice(f"{path} does not say which CLIP it was trained for; make sure that it is this one.")
        return
    here = text.token_embedding.weight[text.vocabulary.start[0]].detach().float().cpu()
    there = start.reshape(-1, start.shape[-1])[0].float().cpu()
    if here.shape != there.shape or F.cosine_similarity(here, there, dim=0) < SAME:
        raise InputError(
            f"{path} was trained for another CLIP: its start token has another embedding; set MODEL.BACKBONE.NAME "
            "to the CLIP that it is for."
        )


def _rows_of(classnames: Sequence[str], saved: Mapping[str, Tensor], text: AnyText, path: Path | str) -> list[int]:
    """Return the number of each class in a checkpoint, which holds the embeddings of its classes' names."""
    suffix = saved.get("token_suffix")
    if suffix is None or len(suffix) != len(classnames):
        notice(f"{path} does not say which classes its contexts are for; their order is taken to be that of this data.")
        return list(range(len(classnames)))
    weight, rows = text.token_embedding.weight.detach().float().cpu(), []
    for name in classnames:
        tokens = [*text.vocabulary.encode(name.replace("_", " ").strip() + "."), *text.vocabulary.end]
        cosines = F.cosine_similarity(suffix[:, : len(tokens)].float().cpu(), weight[tokens], dim=-1)
        found = (cosines > SAME).all(-1).nonzero().flatten().tolist()
        if len(found) != 1:
            raise InputError(f"{path} has {counted(len(found), 'context')} for the class '{name}'; it needs one.")
        rows += found
    return rows


def _misfit(path: Path | str, name: str, value: Tensor, wanted: Tensor, learner: PromptLearner) -> InputError:
    if value.shape[-1] != wanted.shape[-1]:
        what = f"its {name} is for a CLIP of another width ({value.shape[-1]}, here {wanted.shape[-1]})"
    elif learner.class_specific:
        held = f"{counted(len(value), 'context')}" if value.dim() == 3 else "one context for all classes"
        what = f"it has {held}, and here every class needs its own"
    elif value.dim() != wanted.dim():
        what = f"its {name} has the shape {tuple(value.shape)}, here {tuple(wanted.shape)}"
        what += "; a context per class needs TRAINER.COOP.CONTEXT class" if value.dim() == 3 else ""
    else:
        what = f"it has {counted(value.shape[-2], 'context vector')}, here {wanted.shape[-2]}; set N_CTX or CTX_INIT"
    return InputError(f"{path} does not fit: {what}.")
