"""TrainConfig: what each epoch takes from it, what it refuses, and the recipe for fine-tuning."""

import pytest

from emotion_detective.training.recipe import TrainConfig


def test_augmentation_is_weak_in_the_last_tenth():
    config = TrainConfig(epochs=20, augmentation=0.8, late_augmentation=0.2)
    assert [config.augmentation_at(epoch) for epoch in range(20)] == [0.8] * 18 + [0.2] * 2


def test_image_size_grows_over_the_epochs():
    config = TrainConfig(epochs=10, image_sizes=(32, 48, 64), image_size_shares=(0.2, 0.4, 0.4))
    assert [config.image_size_at(e) for e in range(10)] == [32] * 2 + [48] * 4 + [64] * 4
    assert config.batch_sizes_at(2) == [48]
    assert config.batch_sizes_at(9) == [56, 64, 72]


@pytest.mark.parametrize("epochs", [1, 2, 64])
def test_a_run_however_short_ends_at_the_checkpoint_s_image_size(epochs):
    assert TrainConfig(epochs=epochs).image_size_at(epochs - 1) == 96


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(image_sizes=(32,)), "image_sizes has 1 and image_size_shares 2 entries"),
        (dict(image_sizes=(48,), image_size_shares=(0.0,)), "image_size_shares must be 0 or more"),
        (dict(vote_share=25), "vote_share is a fraction of 1, not 25"),
        (dict(limit=0), "limit must be above 0, not 0"),
    ],
)
def test_impossible_recipe_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**wrong)


def test_a_batch_and_its_rate_follow_the_number_of_images():
    config = TrainConfig()
    assert config.for_images(28_000) == config
    few = config.for_images(360)
    assert (few.batch_size, few.learning_rate) == (18, 5.3e-4)
    assert config.for_images(5).batch_size == 16


def test_fine_tuning_is_the_last_third_of_the_run_from_scratch():
    scratch, fine_tuning = (TrainConfig.for_init(init) for init in ("scratch", "imagenet"))
    assert scratch == TrainConfig() and fine_tuning.layer_decay < 1
    last = range(scratch.epochs - fine_tuning.epochs, scratch.epochs)
    for epoch, of_scratch in enumerate(last):
        assert fine_tuning.batch_sizes_at(epoch) == scratch.batch_sizes_at(of_scratch)
    assert fine_tuning.augmentation == scratch.augmentation
