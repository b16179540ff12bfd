"""What two processes hold of both networks, by either strategy."""

from __future__ import annotations

import os

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

from mal.data.train_dataset import TrainBatch
from mal.models.backbones.registry import build_backbone
from mal.models.ema import make_teacher
from mal.models.from_spec import build_network
from mal.runtime.fsdp import ShardedStrategy, list_blocks
from mal.training.module import MalModule, RunSize
from tests.cli.launched import Launcher
from tests.small_networks import small_spec

STRATEGIES = ("ddp", "fsdp")
NAME = "student.roi_head.mlp1.weight"


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launched"))


def run(launcher: Launcher, case, *arguments) -> None:
    outcomes = launcher.call(case, *arguments)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0], outcomes[0].err + outcomes[1].err


def small_module(**changes) -> MalModule:
    model = {"frozen_stages": [0]} | changes.get("model", {})
    train = {"crf_num_iter": 2, "batch_size": 2, "num_epochs": 1, "warmup_epochs": 0} | changes.get("train", {})
    spec = small_spec(model=model, train=train)
    student = build_network(spec, "patch")
    return MalModule(student, make_teacher(student), spec, RunSize(steps_per_epoch=2, world_size=2))


def fitted(module: MalModule, strategy: str, *callbacks: Callback) -> Trainer:
    """Two steps, on other crops in each process."""
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=ShardedStrategy(2) if strategy == "fsdp" else strategy,
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader([crops(trainer.global_rank, step) for step in range(2)], batch_size=None))
    return trainer


def crops(rank: int, step: int) -> TrainBatch:
    generator = torch.Generator().manual_seed(10 * rank + step)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)
    box_mask = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    box_mask[:, :, 8:24, 8:24] = 1
    return TrainBatch(images, images, box_mask, torch.full((2,), 5000.0), torch.arange(2))


def of_first_process(tensor: Tensor) -> Tensor:
    copy = tensor.detach().clone()
    torch.distributed.broadcast(copy, src=0)
    return copy


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def starts_from_the_first_process(strategy: str) -> None:
    torch.manual_seed(int(os.environ["RANK"]))
    module = small_module()
    module.spec.train.lr = 0.0
    module.spec.train.wd = 0.0
    own = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = fitted(module, strategy)
    wanted = {name: of_first_process(value) for name, value in own.items()}
    assert trainer.is_global_zero or not torch.equal(own[NAME], wanted[NAME])
    for name, value in module.state_dict().items():
        assert torch.equal(whole(value), wanted[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_processes_start_from_the_first_one_s_networks(launcher, strategy):
    run(launcher, starts_from_the_first_process, strategy)


MODELS = {
    "mal": {"arch": "fan_tiny_12_p16_224", "frozen_stages": [-1]},
    "fpn": {"arch": "timm/test_efficientnet", "num_blocks": None, "frozen_stages": [-1], "decoder": "fpn"},
}


def agrees_in_buffers(decoder: str) -> None:
    module = small_module(model=MODELS[decoder])
    before = {name: buffer.clone() for name, buffer in module.named_buffers() if name.endswith("running_mean")}
    fitted(module, "fsdp")
    for name, buffer in module.student.named_buffers():
        assert torch.equal(of_first_process(buffer), buffer), name
        assert torch.equal(buffer, module.teacher.get_buffer(name)), name
    assert any(not torch.equal(module.get_buffer(name), value) for name, value in before.items())


@pytest.mark.slow
@pytest.mark.parametrize("decoder", MODELS)
def test_batch_norms_go_by_the_same_means_in_every_process(launcher, decoder):
    run(launcher, agrees_in_buffers, decoder)


def ends_with_weights(decoder: str, strategy: str, path: str) -> None:
    torch.manual_seed(0)
    module = small_module(model=MODELS[decoder] | {"batch_norm": "frozen"}, train={"lr": 1e-3, "backbone_lr_rate": 0.2})
    fitted(module, strategy)
    weights = {name: whole(value) for name, value in module.state_dict().items()}
    if os.environ["RANK"] == "0":
        torch.save(weights, path)


@pytest.mark.slow
def test_a_pyramid_with_two_learning_rates_learns_the_same_by_either_strategy(launcher, tmp_path):
    paths = {strategy: tmp_path / f"{strategy}.pth" for strategy in STRATEGIES}
    for strategy, path in paths.items():
        run(launcher, ends_with_weights, "fpn", strategy, str(path))
    ddp, fsdp = (torch.load(path, weights_only=True) for path in paths.values())
    for name, value in ddp.items():
        torch.testing.assert_close(fsdp[name], value, rtol=1e-3, atol=1e-5, msg=name)


class Buckets(Callback):
    """Remembers how many bytes DDP has put into the buckets that it sends."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        sizes = trainer.strategy.model._get_ddp_logging_data()["bucket_sizes"]
        self.bytes = sum(int(size) for size in str(sizes).split(","))


def is_free(strategy: str) -> None:
    module, buckets = small_module(), Buckets()
    trainer = fitted(module, strategy, *([buckets] if strategy == "ddp" else []))
    teacher = {id(parameter) for parameter in module.teacher.parameters()}
    (optimizer,) = trainer.optimizers
    optimized = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    learning = [parameter for parameter in module.student.parameters() if parameter.requires_grad]
    assert [id(each) for each in optimized] == [id(each) for each in learning]
    assert {id(each) for each in optimizer.state} == {id(each) for each in optimized}
    assert not teacher & {id(each) for each in optimized}
    assert all(parameter.grad is None for parameter in module.teacher.parameters())
    if strategy == "ddp":
        assert buckets.bytes == 4 * sum(each.numel() for each in learning)
    else:
        parts = torch.tensor([each.to_local().numel() for each in module.teacher.parameters()])
        torch.distributed.all_reduce(parts)
        assert parts.tolist() == [each.numel() for each in module.teacher.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_teacher_has_no_gradient_no_optimiser_state_and_no_place_in_what_is_sent(launcher, strategy):
    run(launcher, is_free, strategy)


@pytest.mark.parametrize(
    ("arch", "num_blocks"),
    [("vit-deit-tiny/16", 3), ("fan_tiny_12_p16_224", 3), ("timm/vit_tiny_patch16_224", 12), ("timm/resnet18", 2)],
)
def test_what_is_gathered_at_a_time_is_a_block_or_stage(arch, num_blocks):
    options = {} if arch.startswith("timm") else {"num_blocks": num_blocks}
    blocks = list_blocks(build_backbone(arch, **options))
    assert len(blocks) == num_blocks


@pytest.mark.parametrize(
    "arch", ["vit-deit-tiny/16", "fan_tiny_12_p16_224", "fan_tiny_8_p4_hybrid", "timm/vit_tiny_patch16_224"]
)
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_every_parameter_that_learns_gets_a_gradient_as_ddp_expects(arch, stem):
    if stem == "conv" and not arch.startswith("vit"):
        pytest.skip("has one stem only")
    spec = small_spec(model={"arch": arch, "num_blocks": 2})
    network = build_network(spec, stem)
    network(torch.randn(2, 3, 64, 64), torch.tensor([500.0, 50000.0])).sum().backward()
    missing = [name for name, each in network.named_parameters() if each.requires_grad and each.grad is None]
    assert missing == []
