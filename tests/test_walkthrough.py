"""The classes and functions that the guide teaches by name."""

import math
import os
import re
import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

import rlhf_explained
from rlhf_explained import (
    SimpleRewardModel,
    SimpleSFTModel,
    calculate_rlhf_reward,
    reward_model_loss,
)
from rlhf_explained.walkthrough import ANSWER, END, PADDING

DEMONSTRATIONS = {
    "What is the capital of France?": "The capital of France is Paris.",
    "Write a haiku about programming.": (
        "Lines of code flow free\nDebugging through the night sky\nProgram comes alive"
    ),
    "How do I make a sandwich?": "Here's how:\n1. Get bread\n2. Spread peanut butter\n3. Enjoy!",
}


def untrained() -> SimpleSFTModel:
    model = SimpleSFTModel()
    for prompt, response in DEMONSTRATIONS.items():
        model.add_demonstration(prompt, response)
    return model


@pytest.fixture(scope="module")
def trained() -> SimpleSFTModel:
    model = untrained()
    model.train(epochs=3)
    return model


def test_training_prints_a_loss_that_really_falls(capsys):
    untrained().train(epochs=3)
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"Training on 3 demonstrations\.\.\.\n(  Epoch \d: Loss = .*\n){3}Training complete!\n",
        printed,
    )
    first, second, third = map(float, re.findall(r"(?m)^  Epoch \d: Loss = (\d+\.\d\d)$", printed))
    assert first > second > third
    assert third < 0.5 < 1 < first


def test_only_the_response_and_its_end_count():
    model = SimpleSFTModel()
    model.add_demonstration("one two three", "four five")
    model.add_demonstration("one", "six")
    tokens, response_mask = model._batch()
    assert tokens.tolist() == [[3, 4, 5, ANSWER, 6, 7, END], [3, ANSWER, 8, END] + [PADDING] * 3]
    assert response_mask.int().tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]]


def test_training_starts_from_scratch_and_prints_the_same_again(capsys, trained):
    capsys.readouterr()
    torch.manual_seed(1)
    trained.train(epochs=3)
    first = capsys.readouterr().out
    torch.manual_seed(2)
    state = torch.get_rng_state()
    untrained().train()
    assert capsys.readouterr().out == first
    assert torch.equal(torch.get_rng_state(), state)


def test_training_leaves_the_number_of_threads_alone(trained):
    before = torch.get_num_threads()
    trained.generate("What is the capital of France?")
    with pytest.raises(ValueError, match="epochs"):
        trained.train(epochs=0)
    assert torch.get_num_threads() == before


def test_what_it_prints_is_the_same_on_every_processor(capfd):
    program = (
        "from rlhf_explained import SimpleSFTModel\n"
        "model = SimpleSFTModel()\n"
        f"for pair in {DEMONSTRATIONS!r}.items():\n"
        "    model.add_demonstration(*pair)\n"
        "model.train()"
    )
    # "default" is PyTorch's code without vector instructions.
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=os.environ | {"ATEN_CPU_CAPABILITY": "default"},
    )
    plain = capfd.readouterr().out
    untrained().train()
    assert capfd.readouterr().out == plain


@pytest.mark.parametrize("prompt", DEMONSTRATIONS)
def test_it_has_learned_its_demonstrations_word_for_word(trained, prompt):
    assert trained.generate(prompt) == DEMONSTRATIONS[prompt]


def test_it_answers_known_words_in_a_new_order_with_known_words(trained):
    known = " ".join([*DEMONSTRATIONS, *DEMONSTRATIONS.values()]).split()
    answer = trained.generate("Write the capital of code")
    assert set(answer.split()) <= set(known)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("What is the capital of Spain?", "prompt has the word 'Spain"),
        ("the capital of france?", "prompt has the word 'france"),  # words keep their capitals
        ("", "^prompt has 0 words"),
        (" ", "^prompt has 0 words"),
        ("the " * 1000, "^prompt has 1000 words"),
    ],
)
def test_a_prompt_that_it_cannot_read_is_refused(trained, prompt, message):
    with pytest.raises(ValueError, match=message):
        trained.generate(prompt)


def test_a_new_demonstration_asks_for_new_training():
    model = SimpleSFTModel()
    with pytest.raises(ValueError, match="training_data is empty"):
        model.train()
    for words in ({"prompt": " \n", "response": "Yes."}, {"prompt": "Hello?", "response": ""}):
        with pytest.raises(ValueError, match=r"^(prompt|response) has no word"):
            model.add_demonstration(**words)
    model.add_demonstration("Hello?", "Yes.")
    with pytest.raises(RuntimeError, match=r"not trained yet: call train\(\)"):
        model.generate("Hello?")
    model.train(epochs=1)
    assert model.trained
    model.add_demonstration("Bye?", "Bye.")
    with pytest.raises(RuntimeError, match="not trained yet"):
        model.generate("Bye?")


def test_the_reward_model_has_the_layers_of_the_guide():
    layers = SimpleRewardModel(input_dim=7).network
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Linear)]
    assert shapes == [(32, 7), (16, 32), (1, 16)]
    assert SimpleRewardModel()(torch.zeros(5, 10)).shape == (5, 1)
    with pytest.raises(ValueError, match="input_dim must be at least 1"):
        SimpleRewardModel(0)


def test_the_reward_model_draws_from_the_generator_it_is_given():
    state = torch.get_rng_state()
    first, second = (
        SimpleRewardModel(generator=torch.Generator().manual_seed(3)).state_dict() for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    for name, weights in first.items():
        assert torch.equal(weights, second[name])
        width = {"0": 10, "2": 32, "4": 16}[name.split(".")[1]]
        assert 0 < weights.abs().max() <= width**-0.5
    torch.manual_seed(0)  # without one from the global state
    first = SimpleRewardModel()(torch.ones(1, 10)).item()
    torch.manual_seed(0)
    assert SimpleRewardModel()(torch.ones(1, 10)).item() == first


def test_reward_model_loss_is_the_surprise_of_the_preference():
    chosen, rejected = torch.tensor([[2.0], [0.0]]), torch.tensor([[1.0], [3.0]])
    loss, chosen_mean, rejected_mean = reward_model_loss(lambda x: 2 * x, chosen, rejected)
    assert loss.item() == pytest.approx(
        (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(6))) / 2
    )
    assert (chosen_mean, rejected_mean) == (2.0, 4.0)


def test_preferences_that_cannot_be_compared_are_refused():
    rm, zeros = SimpleRewardModel(), torch.zeros(2, 10)
    for chosen, rejected, message in (
        (torch.zeros(3, 10), zeros, "rejected"),
        (zeros[:0], zeros[:0], "chosen is empty"),
        (zeros, zeros + torch.tensor([0, 0, 0, math.nan, *[0] * 6]), r"rejected\[0, 3\] is nan"),
    ):
        with pytest.raises((ValueError, TypeCheckError), match=message):
            reward_model_loss(rm, chosen, rejected)


@pytest.mark.parametrize(
    ("score", "divergence", "beta", "total", "penalty"),
    [
        (8.0, 0.5, 0.1, 7.95, 0.05),
        (9.5, 0.8, 0.1, 9.42, 0.08),
        (10.0, 5.0, 0.1, 9.50, 0.50),
        (7.0, 0.2, 0.1, 6.98, 0.02),
        (1.0, -2.0, 0.5, 2.0, -1.0),  # an estimated divergence may be negative
        (3, 4, 0, 3, 0),
    ],
)
def test_the_reward_is_the_score_less_the_penalty(score, divergence, beta, total, penalty):
    assert calculate_rlhf_reward(score, divergence, beta) == (
        pytest.approx(total),
        pytest.approx(penalty),
    )
    assert calculate_rlhf_reward(score, divergence) == calculate_rlhf_reward(score, divergence, 0.1)


@pytest.mark.parametrize(
    ("argument", "wrong", "wanted"),
    [
        ("rm_score", math.nan, "a finite number"),
        ("kl_divergence", math.nan, "a finite number"),
        ("beta", -0.1, "a finite number >= 0"),
    ],
)
def test_a_reward_of_wrong_numbers_is_refused(argument, wrong, wanted):
    with pytest.raises(ValueError, match=rf"^{argument} must be {wanted}, not {wrong}"):
        calculate_rlhf_reward(**{"rm_score": 1.0, "kl_divergence": 1.0, argument: wrong})


def test_the_package_offers_the_taught_names_and_no_others():
    assert set(rlhf_explained.__all__) <= set(dir(rlhf_explained))
    for name in rlhf_explained.__all__:
        assert getattr(rlhf_explained, name).__module__ == "rlhf_explained.walkthrough"
    with pytest.raises(AttributeError, match="no attribute 'SimplePPO'"):
        rlhf_explained.SimplePPO  # noqa: B018
