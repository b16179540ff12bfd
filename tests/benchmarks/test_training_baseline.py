"""The plain training step and ours do the same, sample by sample and step by step."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from benchmarks.baselines.plain_training import MARGIN_RATE, PlainTrainingStep, plain_sample
from benchmarks.training_step import sized
from mal.data.train_dataset import BoxCropDataset, TrainBatch, collate
from mal.losses import batch_losses
from mal.models.ema import make_teacher, update_teacher
from mal.models.prediction_mode import MeanFieldSettings
from tests.data.photos import THREE_SIZES, photos
from tests.small_networks import small_network

CROP_SIZE = 32


def both_samples(folder, index: int) -> tuple[TrainBatch, TrainBatch]:
    boxes = photos(folder, [3, 3], THREE_SIZES)
    for path in folder.glob("*.png"):  # a photo's colours, not noise, which no mean field would agree on
        with Image.open(path) as noise:
            blotches = noise.resize((8, 8)).resize(noise.size, Image.Resampling.BICUBIC)
        blotches.save(path)
    ours = BoxCropDataset(boxes, folder, crop_size=CROP_SIZE, margin_rate=MARGIN_RATE, border="wrap", seed=5)
    rng = np.random.default_rng([5, 0, index])
    return ours[0, index], plain_sample(boxes[index], folder, CROP_SIZE, rng)


def test_samples_are_the_same(tmp_path):
    for index in range(6):
        ours, plain = both_samples(tmp_path, index)
        assert ours.held_parts().keys() == plain.held_parts().keys()
        for name, value in ours.held_parts().items():
            assert torch.equal(value, plain.held_parts()[name]), name


def test_losses_and_weights_are_the_same(tmp_path):
    batch = collate([sized(both_samples(tmp_path, index)[1], index) for index in range(2)])
    assert isinstance(batch, TrainBatch)
    plain = PlainTrainingStep(small_network().train(), num_iter=4)
    student = small_network().train()
    teacher = make_teacher(student)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-5)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images, teacher_images = (
        (each.float() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        for each in (batch.student_images, batch.teacher_images)
    )
    for _ in range(2):
        plain(batch)
        with torch.no_grad():
            teacher_logits = teacher(teacher_images, batch.box_area)
        losses = batch_losses(
            student(images, batch.box_area), teacher_logits, images, batch.box_mask, MeanFieldSettings(num_iter=4)
        )
        np.testing.assert_allclose(plain.losses, (losses.mil.mean().item(), losses.crf.mean().item()), rtol=1e-5)
        (losses.mil + losses.crf).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        update_teacher(teacher, student, 0.996)
    torch.testing.assert_close(plain.student.state_dict(), student.state_dict(), atol=1e-6, rtol=0)
    torch.testing.assert_close(plain.teacher.state_dict(), teacher.state_dict(), atol=1e-6, rtol=0)
