"""Train the demo detector on drawn scenes, score it on others, and export it as float .tflite with its head.json.

    python train.py OUT

writes OUT/reef_ssdlite.keras, OUT/reef_ssdlite.tflite, OUT/reef_ssdlite_head.json and OUT/metrics.json. Needs
`pip install 'coralsmith[tensorflow,eval]'`; see README.md for how long it takes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
from detector import NUM_CLASSES, SIZE, build_model, make_anchors, match
from export import output_names, run_tflite, write_head, write_tflite
from PIL import Image
from scene_set import SceneSet, load_scenes
from scoring import score

TRAIN_SEED, TEST_SEED = 1, 2
NAME = "reef_ssdlite"
ZOOM = 0.65, 1.0  # side of the part of a scene that is shown in training, 1 for all of it


class Batches(keras.utils.PyDataset):
    """Shuffled batches of randomly changed scenes with their anchor targets.

    Args:
        scenes: What to learn from.
        size: Images in a batch.
        seed: Of the order and of the changes.
    """

    def __init__(self, scenes: SceneSet, size: int, seed: int) -> None:
        super().__init__()
        self.scenes = scenes
        self.size = size
        self.rng = np.random.default_rng(seed)
        self.anchors = make_anchors()
        self.order = self.rng.permutation(len(scenes.images))

    def __len__(self) -> int:
        return len(self.order) // self.size

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        images, encoded, classes = [], [], []
        for i in self.order[index * self.size : (index + 1) * self.size]:
            scene = self.scenes.images[i], self.scenes.boxes[i], self.scenes.labels[i]
            image, boxes, labels = vary(*scene, self.rng)
            offsets, answers = match(boxes, labels, self.anchors)
            images.append(image)
            encoded.append(np.concatenate([offsets, answers[:, None] >= 0], axis=1))
            classes.append(answers[:, None])
        return normalise(np.stack(images)), {"boxes": np.stack(encoded), "classes": np.stack(classes)}

    def on_epoch_end(self) -> None:
        """Shuffle anew."""
        self.order = self.rng.permutation(len(self.order))


def normalise(images: np.ndarray) -> np.ndarray:
    """Pixels 0..255 as the model wants them, -1..1."""
    return images.astype(np.float32) / 127.5 - 1


def vary(
    image: np.ndarray, boxes: np.ndarray, labels: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random part of the image, perhaps mirrored, in other light; creatures cut by more than half are dropped.

    Args:
        image: uint8 [size, size, 3].
        boxes: float32 [n, 4], (ymin, xmin, ymax, xmax) in 0..1.
        labels: int [n].
        rng: Decides.

    Returns:
        The same three for the changed image.
    """
    part = rng.uniform(*ZOOM, 2)
    corner = rng.uniform(0, 1 - part)
    top, left, bottom, right = (np.concatenate([corner, corner + part]) * SIZE).tolist()
    cut = Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR, (left, top, right, bottom))
    pixels = np.clip(np.asarray(cut) * rng.uniform(0.8, 1.2, 3), 0, 255)

    moved = (boxes - np.tile(corner, 2)) / np.tile(part, 2)
    inside = np.clip(moved, 0, 1)
    area, visible = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (moved, inside))
    kept = visible > 0.5 * area
    inside, labels = inside[kept].astype(np.float32), labels[kept]
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        inside = np.stack([inside[:, 0], 1 - inside[:, 3], inside[:, 2], 1 - inside[:, 1]], axis=1)
    return pixels, inside, labels


def box_loss(targets: keras.KerasTensor, encoded: keras.KerasTensor) -> keras.KerasTensor:
    """Smooth L1 over the anchors that answer for a box, averaged over them."""
    ops = keras.ops
    positive = targets[..., 4]
    distance = ops.abs(targets[..., :4] - encoded)
    smooth = ops.sum(ops.where(distance < 1, 0.5 * distance**2, distance - 0.5), axis=-1)
    return ops.sum(smooth * positive) / ops.maximum(ops.sum(positive), 1.0)


def class_loss(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Sigmoid focal loss (Lin et al. 2017; alpha 0.25, gamma 2), divided by the number of answering anchors."""
    ops = keras.ops
    labels = ops.cast(targets[..., 0], "int32")
    wanted = ops.one_hot(labels, NUM_CLASSES, dtype="float32")  # a negative label is an empty row
    counted = ops.cast(labels > -2, "float32")[..., None]
    probability = ops.sigmoid(logits)
    miss = wanted * (1 - probability) + (1 - wanted) * probability
    entropy = ops.relu(logits) - logits * wanted + ops.log1p(ops.exp(-ops.abs(logits)))
    focal = (wanted * 0.25 + (1 - wanted) * 0.75) * miss**2 * entropy * counted
    return ops.sum(focal) / ops.maximum(ops.sum(wanted), 1.0)


def train(scenes: SceneSet, epochs: int, batch: int) -> keras.Model:
    """Train from scratch with AdamW: a short warm-up, then a cosine down to nearly zero."""
    batches = Batches(scenes, batch, seed=0)
    steps = epochs * len(batches)
    warm_up = steps // 10
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - warm_up, alpha=0.005, warmup_target=2e-3, warmup_steps=warm_up
    )
    model = build_model()
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=10.0),
        loss={"boxes": box_loss, "classes": class_loss},
        loss_weights={"boxes": 0.5, "classes": 1.0},
        jit_compile=False,  # XLA on a CPU is nine times slower here
    )
    model.fit(batches, epochs=epochs, verbose=2)
    return model


def main() -> None:
    """Draw, train, score, export, score the export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the scenes and the results")
    parser.add_argument("--scenes", type=int, default=3000, help="scenes to train on (default 3000)")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    train_set = load_scenes(options.out / f"train_{options.scenes}.npz", TRAIN_SEED, options.scenes, SIZE)
    test_set = load_scenes(options.out / "test_300.npz", TEST_SEED, 300, SIZE)
    start = time.monotonic()
    model = train(train_set, options.epochs, options.batch)
    minutes = round((time.monotonic() - start) / 60, 1)
    model.save(options.out / f"{NAME}.keras", include_optimizer=False)

    outputs = model.predict(normalise(test_set.images), batch_size=50, verbose=0)
    lite_file = options.out / f"{NAME}.tflite"
    write_tflite(model, lite_file)
    lite = run_tflite(lite_file, normalise(test_set.images))
    write_head(options.out / f"{NAME}_head.json", output_names(lite_file), "written by examples/reef/train.py")
    metrics = {
        "keras": score(outputs["boxes"], outputs["classes"], test_set),
        "tflite": score(lite["boxes"], lite["classes"], test_set),
        "train_scenes": options.scenes,
        "test_scenes": len(test_set.images),
        "epochs": options.epochs,
        "minutes": minutes,
        "parameters": model.count_params(),
    }
    (options.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(json.dumps(metrics, indent=1))


if __name__ == "__main__":
    main()
