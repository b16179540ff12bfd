from hypothesis import given
from hypothesis import strategies as st

from mal.config.train_config import TrainConfig
from mal.training.run_length import steps_per_epoch, with_min_steps

RUNS = st.builds(
    TrainConfig,
    num_epochs=st.integers(1, 20),
    min_steps=st.integers(0, 2000),
    batch_size=st.integers(1, 32),
    accum_grad_batches=st.integers(1, 3),
    warmup_epochs=st.integers(0, 3),
    validation_interval=st.integers(1, 5),
)


@given(train=RUNS, num_boxes=st.integers(8, 5000), world_size=st.integers(1, 8))
def test_a_run_has_as_few_epochs_as_its_fewest_steps_allow_and_a_saved_spec_gives_the_same_run(
    train, num_boxes, world_size
):
    longer = with_min_steps(train, num_boxes, world_size)
    size = steps_per_epoch(train, num_boxes, world_size)
    assert longer.num_epochs >= train.num_epochs
    assert longer.num_epochs * size >= train.min_steps
    assert longer.num_epochs == train.num_epochs or (longer.num_epochs - 1) * size < train.min_steps
    assert with_min_steps(longer, num_boxes, world_size) == longer
    TrainConfig.model_validate(longer.model_dump())


def test_what_counts_epochs_grows_with_them():
    train = TrainConfig(
        num_epochs=4, min_steps=80, batch_size=16, warmup_epochs=1, ellipse_epochs=1.5, validation_interval=2
    )
    longer = with_min_steps(train, num_boxes=64, world_size=1)
    assert (longer.num_epochs, longer.warmup_epochs, longer.ellipse_epochs) == (20, 5, 7.5)
    assert (longer.validation_interval, longer.checkpoint_interval) == (10, 5)


def test_a_checkpoint_interval_in_steps_stays():
    train = TrainConfig(num_epochs=4, min_steps=80, batch_size=16, checkpoint_interval_unit="step")
    assert with_min_steps(train, num_boxes=64, world_size=1).checkpoint_interval == train.checkpoint_interval
