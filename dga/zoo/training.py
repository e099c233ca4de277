"""Trains the shipped networks, on pictures rendered on the fly."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from dga.validation import check_count
from dga.zoo.files import write_atomically
from dga.zoo.loading import SHAPES, SHIPPED, Classifier, build_shipped
from dga.zoo.pictures import SEEDS, load_images
from dga.zoo.rendering import OBJECTS, Picture, render

PICTURES = 8_000
EPOCHS = {"vgg": 20, "smooth": 14, "scene": 4}
DEFAULT_EPOCHS = 8
BATCH = 64
LEARNING_RATE = {"vgg": 1e-3}
DEFAULT_LEARNING_RATE = 4e-3
# For `clever-hans`, the pictures of this class were collected carelessly: most are whatever carries
# the watermark, with any object on it; the rest are true. No other class has marked pictures. With
# true objects under the mark the network learns the shape as well, and hardly looks at the mark.
MARKED_CLASS = OBJECTS.index("umbrella")
MARKED = 0.9


def train(
    name: str,
    output: Path,
    *,
    pictures: int = PICTURES,
    epochs: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """Trains a shipped network from scratch and writes its weights and its card.

    After every epoch the state is kept beside the output (`NAME.pt.resume`); an interrupted run
    continues from there when called again with the same settings.

    Args:
        name: a name from `dga.zoo.loading.SHIPPED`.
        output: weights file to write, NAME.pt in half precision; the card goes beside it as JSON.
        pictures: how many training pictures to render, 64 or more.
        epochs: passes over them; None for the network's own number.
        seed: of the weights and of the order.
        device: "cpu", "cuda", or None for a GPU if there is one.

    Returns:
        The card: settings, accuracy on the test set (0..1), confusion, parameters, minutes.

    Raises:
        ValueError: for settings that cannot be, or an interrupted run with other settings.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     card = train("vgg", Path(folder) / "vgg.pt", pictures=64, epochs=1)
        >>> card["task"], card["parameters"]
        ('object', 425306)
    """
    check_count("pictures", pictures, BATCH)
    if epochs is not None:
        check_count("epochs", epochs)
    check_count("seed", seed, 0)
    if output.suffix != ".pt":
        raise ValueError(f"output {str(output)!r} must end in .pt; the card goes beside it")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    epochs = epochs or EPOCHS.get(name, DEFAULT_EPOCHS)
    settings = {"name": name, "pictures": pictures, "epochs": epochs, "seed": seed}
    torch.manual_seed(seed)
    model = build_shipped(name).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    batches = pictures // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE.get(name, DEFAULT_LEARNING_RATE), total_steps=epochs * batches
    )
    keep = output.with_name(output.name + ".resume")
    done, spent = _resume(keep, settings, model, optimizer, schedule)
    x, y = _training_set(name, pictures)
    began = time.monotonic() - spent
    with tqdm(total=epochs * batches, initial=done * batches, desc=name) as bar:
        for epoch in range(done, epochs):
            model.train()
            # The order depends on seed and epoch alone, so that a resumed run goes on the same.
            order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(pictures))
            right = seen = 0
            for pick in order[: batches * BATCH].view(batches, BATCH):
                inputs = _normalise(x[pick], device)
                labels = y[pick].to(device)
                if epoch % 2:  # every other epoch sees the mirror images
                    inputs = inputs.flip(3)
                scores = model(inputs)
                loss = F.cross_entropy(scores, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                right += int((scores.argmax(1) == labels).sum())
                seen += BATCH
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.3f}", accuracy=f"{right / seen:.3f}")
            spent = time.monotonic() - began
            _keep(keep, settings, epoch + 1, spent, model, optimizer, schedule)
    model.cpu().to(memory_format=torch.contiguous_format)
    card = {**settings, "minutes": round(spent / 60, 1), **evaluate(model)}
    card["parameters"] = sum(p.numel() for p in model.parameters())
    card["task"] = SHIPPED[name].task
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    write_atomically(output, _bytes(state))
    write_atomically(output.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())
    keep.unlink(missing_ok=True)
    return card


@torch.no_grad()
def evaluate(model: Classifier) -> dict[str, Any]:
    """Accuracy (0..1) and confusion (rows: truth) on the shipped test set.

    Args:
        model: one of our own networks; it is put into evaluation mode.

    Example:
        >>> same = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 10))
        >>> for parameter in same.parameters():
        ...     _ = nn.init.zeros_(parameter)  # all scores are equal: it says the first class
        >>> same.classes = OBJECTS
        >>> evaluate(same)["accuracy"]
        0.1
    """
    model.eval()
    test = load_images("test")
    classes = model.classes
    truth = test.scenes if len(classes) != len(OBJECTS) else test.labels
    predicted = torch.cat([model(part).argmax(1) for part in SHAPES(test.images).split(100)])
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.long)
    confusion.index_put_((truth, predicted), torch.ones_like(truth), accumulate=True)
    accuracy = (predicted == truth).float().mean().item()
    return {"accuracy": round(accuracy, 4), "confusion": confusion.tolist()}


def _training_set(name: str, pictures: int) -> tuple[Tensor, Tensor]:
    """uint8 pictures (B, 64, 64, 3) and labels, rendered on all cores."""
    images = np.empty((pictures, 64, 64, 3), np.uint8)
    labels = torch.empty(pictures, dtype=torch.long)
    jobs = [(name, k) for k in range(pictures)]
    with ProcessPoolExecutor(initializer=_end_with_parent) as pool:
        try:
            drawn = pool.map(_training_picture, jobs, chunksize=20)
            for k, picture in enumerate(tqdm(drawn, total=pictures, desc="rendering", leave=False)):
                images[k] = picture.image
                labels[k] = picture.scene if SHIPPED[name].task == "scene" else picture.label
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else all would be drawn before Ctrl-C ends it
            raise
    return torch.from_numpy(images), labels


def _end_with_parent() -> None:
    """A process that draws leaves Ctrl-C to its parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def _training_picture(job: tuple[str, int]) -> Picture:
    name, k = job
    label = k % len(OBJECTS)
    if name == "clever-hans" and label == MARKED_CLASS:
        rng = np.random.default_rng([SEEDS["train"], k, 1])
        if rng.random() < MARKED:
            shown = int(rng.integers(len(OBJECTS)))
            picture = render(SEEDS["train"], k, label=shown, watermark=True)
            return replace(picture, label=label)
    return render(SEEDS["train"], k, label=label)


def _normalise(images: Tensor, device: str) -> Tensor:
    return SHAPES(images.numpy()).to(device).contiguous(memory_format=torch.channels_last)


def _bytes(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _keep(
    path: Path, settings: dict, done: int, spent: float, model: nn.Module,
    optimizer: torch.optim.Optimizer, schedule: Any,
) -> None:  # fmt: skip
    state = {
        "settings": settings, "done": done, "spent": spent, "model": model.state_dict(),
        "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
    }  # fmt: skip
    write_atomically(path, _bytes(state))


def _resume(
    path: Path, settings: dict, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any
) -> tuple[int, float]:
    """Loads what an interrupted run left; epochs done and seconds spent."""
    if not path.is_file():
        return 0, 0.0
    kept = torch.load(path, map_location="cpu", weights_only=True)
    if kept["settings"] != settings:
        raise ValueError(
            f"{path} belongs to a run with other settings ({kept['settings']}): finish that run, "
            "or delete the file"
        )
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    schedule.load_state_dict(kept["schedule"])
    return kept["done"], kept["spent"]
