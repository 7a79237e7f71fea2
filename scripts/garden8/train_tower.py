"""Train the small CLIP in models/garden_clip from scratch, on pictures and captions made by datasets/drawing.

    python -m scripts.garden8.train_tower --output models/garden_clip/garden_clip.safetensors

The default flags are the recipe of the weights in the repository; models/garden_clip/README.md describes them.
There are two stages. The image tower learns to classify the attributes of pictures with a linear head, which is then
discarded. The text tower then learns to match captions to the features of the fixed image tower ("locked-image
tuning"). Scenes are symbolic, so it is known which captions of a batch are true of which pictures: all of these pairs
are positives of the loss.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from common.threads import wait_passively

wait_passively()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from datasets.drawing import STYLES, TASKS, write_collection  # noqa: E402
from scripts.garden8.tower_material import CAPTIONS, HARDNESS, NOTHING, VOCABULARY, Material, tokenize  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from clip.model import CLIP

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def build(args: argparse.Namespace) -> CLIP:
    """Build OpenAI's CLIP at a small size, with the seeded token embedding that the loader fills missing rows from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CLIP(
            args.embed,
            64,
            args.vision_layers,
            args.vision_width,
            8,
            77,
            VOCABULARY,
            args.text_width,
            args.text_width // 64,
            args.text_layers,
        )
    table = torch.randn(VOCABULARY, args.text_width, generator=torch.Generator().manual_seed(0)) * 0.02
    model.token_embedding.weight.data.copy_(table)
    initialise_locally(model.float())
    return model


@torch.no_grad()
def initialise_locally(model: CLIP) -> None:
    """Initialise an image tower so that it learns quickly despite its small size.

    Positions are sines and cosines in two dimensions and queries nearly equal keys, so a patch first attends to near
    and similar patches. Training changes both.
    """
    position = model.visual.positional_embedding
    side, quarter = round((len(position) - 1) ** 0.5), position.shape[1] // 4
    speed = torch.exp(torch.linspace(np.log(0.15), np.log(2.0), quarter))
    row, column = (
        axis.reshape(-1, 1) * speed for axis in torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    )
    position[1:] = 0.7 * torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)
    for block in model.visual.transformer.resblocks:
        query, key, _ = block.attn.in_proj_weight.chunk(3)
        query.mul_(0.7)
        key.copy_(query + 0.1 * key)


def run_blocks(transformer: Any, x: Tensor, causal: bool) -> Tensor:
    """Run CLIP's residual blocks on (batch, tokens, width); equals ``transformer``, but uses a fused attention."""
    for block in transformer.resblocks:
        heads = block.attn.num_heads
        projected = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
        q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in projected.chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
        x = x + block.attn.out_proj(mixed)
        x = x + block.mlp(block.ln_2(x))
    return x


def encode_images(model: CLIP, images: Tensor) -> Tensor:
    """Normalised pixels (batch, 3, 64, 64) -> features (batch, embed), not of unit length."""
    v = model.visual
    x = v.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([v.class_embedding.expand(len(x), 1, -1), x], dim=1) + v.positional_embedding
    x = run_blocks(v.transformer, v.ln_pre(x), causal=False)
    return v.ln_post(x[:, 0]) @ v.proj


def encode_texts(model: CLIP, embedded: Tensor, ends: Tensor) -> Tensor:
    """Embedded tokens (batch, tokens, width), read at ``ends`` (batch,) -> features (batch, embed)."""
    x = run_blocks(model.transformer, embedded + model.positional_embedding[: embedded.shape[1]], causal=True)
    return model.ln_final(x[torch.arange(len(x)), ends]) @ model.text_projection


def augment(pictures: np.ndarray, generator: torch.Generator, smallest: float) -> Tensor:
    """uint8 (batch, side, side, 3) -> normalised (batch, 3, 64, 64): random crop, mirror image, and light."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
    count = len(x)
    zoom = torch.empty(count).uniform_(smallest, 1.0, generator=generator)
    shift = torch.empty(count, 2).uniform_(-1, 1, generator=generator) * (1 - zoom)[:, None]
    flip = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = zoom * flip, zoom, shift
    x = F.grid_sample(
        x, F.affine_grid(theta, [count, 3, 64, 64], align_corners=False), align_corners=False, padding_mode="border"
    )
    x = x * torch.empty(count, 1, 1, 1).uniform_(0.88, 1.12, generator=generator)
    return (x.clamp_(0, 1) - MEAN) / STD


def interrupted(embedded: Tensor, ends: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """In a ``share`` of the steps, insert unknown words after the start.

    An untrained context of prompt tuning then does no harm, and later positions are trained.
    """
    if torch.rand((), generator=generator) >= share:
        return embedded, ends
    slots = int(torch.randint(1, 17, (), generator=generator))
    noise = torch.randn(len(embedded), slots, embedded.shape[2], generator=generator) * 0.02
    return torch.cat([embedded[:, :1], noise, embedded[:, 1:]], dim=1), ends + slots


def matching(claims: Tensor, shows: Tensor) -> Tensor:
    """Claims (captions, 9) and attributes (pictures, 9) -> (pictures, captions): 1.0 where the caption is true."""
    return ((claims[None] == -1) | (claims[None] == shows[:, None])).all(dim=2).float()


def soft_targets(true: Tensor) -> Tensor:
    return true / true.sum(dim=1, keepdim=True).clamp(min=1)


def contrast(logits: Tensor, true: Tensor) -> Tensor:
    """Average the cross-entropies of rows and columns, each against a uniform distribution over its true entries."""
    rows = -(soft_targets(true) * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    columns = -(soft_targets(true.T) * F.log_softmax(logits.T, dim=1)).sum(dim=1).mean()
    return (rows + columns) / 2


def train_image_tower(args: argparse.Namespace, material: Material) -> CLIP:
    """First stage: train the image tower to classify all attributes and the style of a picture, with a linear head."""
    torch.manual_seed(args.seed)
    model = build(args)
    sizes = [len(task.keys) for task in TASKS] + [len(STYLES)]
    weights = [HARDNESS[task.attribute] for task in TASKS] + [0.3]
    head = nn.Linear(args.embed, sum(sizes))
    trained = [*model.visual.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(groups(trained, []), lr=args.lr, betas=(0.9, 0.98))
    order, generator = np.random.RandomState(args.seed), torch.Generator().manual_seed(args.seed)
    steps = len(material.pictures) // args.batch
    total, step, started = steps * args.epochs, 0, time.time()
    for epoch in range(args.epochs):
        shuffled, right = order.permutation(len(material.pictures)), np.zeros(len(TASKS))
        for k in range(steps):
            set_rate(optimiser, args.lr, step, total, 200)
            chosen = np.sort(shuffled[k * args.batch : (k + 1) * args.batch])
            x = augment(material.pictures[chosen], generator, args.smallest_crop)
            shows = torch.from_numpy(material.shows[chosen]).long()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
                picture = encode_images(model, x)
            named = head(picture.float()).split(sizes, dim=1)
            losses = [F.cross_entropy(part, shows[:, t], ignore_index=NOTHING) for t, part in enumerate(named)]
            weighted = (weight * part for weight, part in zip(weights, losses, strict=True))
            loss = sum(weighted, torch.zeros(())) / sum(weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            now = np.array([(part.argmax(1) == shows[:, t]).float().mean().item() for t, part in enumerate(named[:-1])])
            right = now if k == 0 else 0.98 * right + 0.02 * now
            step += 1
            if step % 50 == 0:
                percent = " ".join(f"{100 * r:.0f}" for r in right)
                spent = time.time() - started
                print(
                    f"epoch {epoch + 1} step {step}/{total} loss {loss:.3f} right % {percent}; {spent:.0f} s",
                    flush=True,
                )
        torch.save(model.visual.state_dict(), args.output.with_suffix(".visual.pt"))
    return model


def groups(decayed: list[Tensor], free: list[Tensor]) -> list[dict]:
    """Return parameter groups: weight decay for the matrices in ``decayed``, none for its vectors and for ``free``."""
    free = [*free, *(p for p in decayed if p.ndim < 2)]
    matrices = [p for p in decayed if p.ndim >= 2]
    return [{"params": matrices, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]


def set_rate(optimiser: torch.optim.Optimizer, rate: float, step: int, total: int, warmup: int) -> None:
    """Set the learning rate: a linear warm-up, then a cosine that ends at 0."""
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / warmup) * 0.5 * (1 + np.cos(np.pi * step / total))


def train_text_tower(model: CLIP, material: Material, args: argparse.Namespace) -> CLIP:
    """Second stage: train a text tower for the fixed image tower; returns the model with a full token table."""
    generator = torch.Generator().manual_seed(args.seed + 1)
    torch.manual_seed(args.seed + 1)
    material.write_captions(args.seed, args.rare_words, args.loose_words, args.workers)
    visual, model = model.visual, build(args)
    model.visual = visual
    full = model.token_embedding.weight.data.clone()
    model.token_embedding = nn.Embedding.from_pretrained(full[torch.from_numpy(material.rows)].clone(), freeze=False)
    started, features = time.time(), []
    with torch.no_grad():
        for k in range(0, len(material.pictures), 256):
            x = augment(material.pictures[k : k + 256], generator, 0.9)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
                features.append(F.normalize(encode_images(model, x).float(), dim=1))
    pictures = torch.cat(features)
    trained = [p for name, p in model.named_parameters() if not name.startswith("visual.")]
    table = model.token_embedding.weight
    optimiser = torch.optim.AdamW(groups([p for p in trained if p is not table], [table]), lr=1e-3, betas=(0.9, 0.98))
    order, batch = np.random.RandomState(args.seed + 1), 512
    total, shown = args.text_epochs * (len(pictures) // batch), 0.0
    for step in range(total):
        set_rate(optimiser, 1e-3, step, total, 50)
        chosen, which = order.randint(0, len(pictures), batch), order.randint(0, CAPTIONS, batch)
        words, ends, claims = material.texts(chosen, which)
        embedded, ends = interrupted(model.token_embedding(words), ends, args.unknown_words, generator)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            text = encode_texts(model, embedded, ends)
        true = matching(claims, torch.from_numpy(material.shows[chosen]).long())
        picture = pictures[torch.from_numpy(chosen)]
        loss = contrast(model.logit_scale.exp() * picture @ F.normalize(text.float(), dim=1).T, true)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, float(np.log(100)))
        shown = 0.97 * shown + 0.03 * loss.item() if step else loss.item()
        if (step + 1) % 50 == 0:
            scale = model.logit_scale.exp().item()
            print(
                f"text step {step + 1}/{total} loss {shown:.3f} scale {scale:.1f} {time.time() - started:.0f} s",
                flush=True,
            )
    full[torch.from_numpy(material.rows)] = model.token_embedding.weight.data
    model.token_embedding = nn.Embedding.from_pretrained(full)
    return model


@torch.no_grad()
def report(model: CLIP, full: Tensor, rows: np.ndarray, root: str | None) -> dict[str, float]:
    """Print and return the zero-shot accuracy per task on Garden-8's test pictures, in percent."""
    table = full.clone()
    if model.token_embedding.weight.shape[0] == len(rows):
        table[torch.from_numpy(rows)] = model.token_embedding.weight.data
    else:
        table = model.token_embedding.weight.data
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_collection(root or scratch)
        accuracy = {}
        for task in json.loads((folder / "split.json").read_text(encoding="utf-8"))["tasks"]:
            texts = [tokenize(task["template"].format(name)) for name in task["classnames"]]
            padded = torch.tensor([row + [0] * (77 - len(row)) for row in texts])
            text = encode_texts(model, table[padded], torch.tensor([len(row) - 1 for row in texts]))
            batch = [
                np.asarray(Image.open(folder / path).resize((64, 64), Image.Resampling.BICUBIC))
                for path, _ in task["test"]
            ]
            x = (torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
            image = torch.cat([encode_images(model, part) for part in x.split(128)])
            guess = (F.normalize(image, dim=1) @ F.normalize(text, dim=1).T).argmax(dim=1)
            labels = torch.tensor([label for _, label in task["test"]])
            accuracy[task["name"]] = 100 * (guess == labels).float().mean().item()
    by_task = ", ".join(f"{name} {percent:.1f}" for name, percent in accuracy.items())
    print(f"zero-shot: {by_task}; mean {np.mean(list(accuracy.values())):.1f}", flush=True)
    return accuracy


def save(model: CLIP, rows: np.ndarray, path: Path) -> None:
    """Write OpenAI's state dict in half precision, with only those rows of the token table in ``rows``."""
    from safetensors.torch import save_file

    state = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    if len(state["token_embedding.weight"]) == VOCABULARY:
        state["token_embedding.weight"] = state["token_embedding.weight"][torch.from_numpy(rows)].contiguous()
    state["token_embedding.rows"] = torch.from_numpy(rows).long()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(state, str(partial))
    os.replace(partial, path)
    print(f"wrote {path}: {path.stat().st_size / 1e6:.2f} MB, {len(rows)} token rows", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train Garden-8's small CLIP from scratch.")
    parser.add_argument("--output", type=Path, default=Path("models/garden_clip/garden_clip.safetensors"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=int, default=32000, help="number of training pictures to draw")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of training the image tower")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--embed", type=int, default=128)
    parser.add_argument("--vision-width", type=int, default=128)
    parser.add_argument("--vision-layers", type=int, default=5)
    parser.add_argument("--text-width", type=int, default=128)
    parser.add_argument("--text-layers", type=int, default=4)
    parser.add_argument("--rare-styles", type=float, default=0.12, help="share of pictures in rare styles")
    parser.add_argument("--rare-words", type=float, default=0.5, help="share of rarer synonyms in captions")
    parser.add_argument(
        "--loose-words", type=float, default=0.85, help="how often a casual caption uses them for a neighbouring value"
    )
    parser.add_argument("--text-epochs", type=int, default=4, help="epochs of training the text tower")
    parser.add_argument(
        "--unknown-words", type=float, default=0.2, help="share of steps with unknown words in captions"
    )
    parser.add_argument("--smallest-crop", type=float, default=0.8)
    parser.add_argument("--image-tower", type=Path, help="skip the first stage and load its result, a *.visual.pt file")
    parser.add_argument("--garden", help="data root that has Garden-8; by default it is drawn for the report")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fp32", dest="bf16", action="store_false", help="do not use bfloat16 (slower on most CPUs)")
    args = parser.parse_args()
    torch.set_num_threads(args.workers)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="garden8-tower-") as folder:
        material = Material(Path(folder), args.pictures, args.seed, args.rare_styles, args.workers)
        if args.image_tower:
            model = build(args)
            model.visual.load_state_dict(torch.load(args.image_tower, weights_only=True))
        else:
            model = train_image_tower(args, material)
        model = train_text_tower(model, material, args)
    save(model, material.rows, args.output)
    report(model.half().float(), model.token_embedding.weight.data, material.rows, args.garden)
    print(f"{(time.time() - started) / 60:.1f} minutes in total", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
