"""Classifies photographs with the classifier in this folder; numpy, Pillow and onnxruntime are all that it needs."""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

NARROWEST = 1000  # the longest side / the shortest side
NOT_PICTURES = set(".bufr .eps .fit .fits .grib .h5 .hdf .mpeg .mpg .pdf .ps".split())  # left out in folders


class Classifier:
    """tasks: a list with each task's "name" and "classnames"."""

    def __init__(self, model="image_tower.onnx", folder=Path(__file__).parent, providers=("CPUExecutionProvider",)):
        about = json.loads((Path(folder) / "classifier.json").read_text("utf-8"))
        self.tasks, self.shown = about["tasks"], about["pixels"]
        self.session = onnxruntime.InferenceSession(str(Path(folder) / model), providers=list(providers))

    def predict(self, images):
        """N upright RGB images -> for each task an array (N, classes) of probabilities."""
        ends = np.cumsum([len(task["classnames"]) for task in self.tasks])
        return np.split(self.run("probabilities", map(self.pixels, images)), ends[:-1], axis=1)

    def run(self, output, pixels):
        """One output of the model, (N, ...), for what `pixels` gives of N images."""
        return self.session.run([output], {"pixels": np.stack(list(pixels))})[0]

    def pixels(self, image):
        """Resize and crop as in the tests of this classifier: (height, width, 3) uint8."""
        (height, width), mode, (w, h) = self.shown["size"], self.shown["resize_mode"], image.size
        size = (width, height)
        if mode == "shortest":
            side = max(height, width)
            size = (side, int(side * h / w)) if w <= h else (int(side * w / h), side)
        elif mode == "longest":
            size = tuple(max(1, round(side * (height / max(w, h)))) for side in (w, h))
        image = image.resize(size, Image.Resampling[self.shown["interpolation"].upper()])
        if mode == "longest":
            image, inner = Image.new("RGB", (height, height)), image
            image.paste(inner, ((height - size[0]) // 2, (height - size[1]) // 2))
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return np.asarray(image.crop((left, top, left + width, top + height)))


def read(path):
    """Decode a photograph as upright RGB. Grey values of more than 8 bits become 8 bits."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format in ("PNG", "PPM")):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        elif upright.mode in ("I", "F"):
            values = np.asarray(upright, np.float64)
            low, high = (end(values[np.isfinite(values)]) for end in (np.min, np.max))
            values = np.nan_to_num((values - low) / ((high - low) or 1), nan=0, posinf=1, neginf=0)
            upright = Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8))
        if max(upright.size) > NARROWEST * min(upright.size):
            raise ValueError(f"{upright.width} x {upright.height} pixels are too narrow")
        return upright.convert("RGB")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", nargs="+", type=Path, help="files, and folders with all folders inside them")
    parser.add_argument("--task", action="append", help="only this task; may be repeated")
    parser.add_argument("--top", type=int, default=1, help="the K most probable classes; default: 1")
    parser.add_argument("--model", default="image_tower.onnx", help="another model in this folder")
    args, found, status = parser.parse_args(), [], 0
    kinds = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN} - NOT_PICTURES
    for place in args.photographs:
        inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in kinds and p.name[0] != "." and p.is_file())
        found += inside if place.is_dir() else [place]
    try:
        classifier = Classifier(args.model)
        names = [task["name"] for task in classifier.tasks]
        chosen = [names.index(name) for name in args.task or names]
    except Exception as error:  # of any kind
        parser.exit(2, f"Not possible: {' '.join(str(error).split())}; --help shows how to call this.\n")
    write = csv.writer(sys.stdout, lineterminator="\n").writerow
    write(("photo", "task", "rank", "class", "probability"))
    for path in found:
        try:
            answers = classifier.predict([read(path)])
        except Exception as error:  # Pillow's readers, too, raise errors of any kind
            status, answers = 1, []
            print(f"{path} cannot be read ({' '.join(str(error).split())})", file=sys.stderr)
        for task, (row,) in ((task, answers[task]) for task in chosen if answers):
            for rank, best in enumerate(np.argsort(-row, kind="stable")[: max(1, args.top)], 1):
                write((path, names[task], rank, classifier.tasks[task]["classnames"][best], f"{row[best]:.6f}"))
    return status


if __name__ == "__main__":
    sys.exit(main())
