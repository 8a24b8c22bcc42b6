"""The site's figures by name. Looking one up imports no matplotlib; drawing one does."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rlhf_explained.figures import numbers
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run


@dataclass(frozen=True)
class Figure:
    """Where a figure is drawn, and what it shows for those who cannot see it.

    Attributes:
        module: The chapter's module in this package.
        function: The drawing function there, from a run to a matplotlib figure.
        alt: The alternative text; `{name}` stands for the measured value of that name.
        reads: Further modules of the project whose code decides what is drawn.
        studies: Those whose stored results are drawn.
        opened: Whether a page shows the numbers at once, not only when asked.
    """

    module: str
    function: str
    alt: str
    reads: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    opened: bool = False


FIGURES: dict[str, Figure] = {
    "before-after": Figure(
        "alignment",
        "before_after",
        "Shares of helpful, harmful, off-topic, rambling, false and broken responses to held-out "
        "prompts. "
        "Helpful: {base-helpful} for the pretrained model, {sft-helpful} after SFT and "
        "{ppo-helpful} after RLHF; harmful: {base-harmful}, {sft-harmful} and {ppo-harmful}. "
        "Hollow diamonds mark the original figure's illustrative shares: 20 %, 30 %, 30 % and "
        "20 % before, 85 % helpful after.",
    ),
    "three-stages": Figure(
        "pipeline",
        "three_stages",
        "Five boxes from top to bottom: the pretrained model; stage 1, supervised fine-tuning, "
        "like a student learning from example answers; stage 2, the reward model, like training "
        "a judge to grade essays; stage 3, PPO, like a student improving from grades; the aligned "
        "assistant. A side arrow takes the SFT policy past stage 2 to stage 3.",
    ),
    "stage-seconds": Figure(
        "pipeline",
        "stage_seconds",
        "Bars of the seconds that each part of this run took: pretraining {seconds-pretrain}, "
        "SFT {seconds-sft}, preferences {seconds-preferences}, reward model "
        "{seconds-reward-model}, PPO {seconds-ppo}, PPO without the KL penalty "
        "{seconds-ppo-no-kl}, evaluation {seconds-evaluation}.",
    ),
    "sft-loss": Figure(
        "sft",
        "loss",
        "The SFT loss over the training steps, from {sft-loss-first} to {sft-loss-last} on the "
        "demonstrations, and the loss on held-out ones, which ends at {sft-heldout-loss-last}. A "
        "dashed line marks the entropy of the demonstrations, {sft-loss-floor}: on average no "
        "model can do better on demonstrations that it has not seen.",
    ),
    "preference-and-reward-model": Figure(
        "reward_model",
        "preference_and_reward_model",
        "Step 1: a person compares two answers to “How do I learn Python?” and prefers the one "
        "with advice to act on. Step 2: the reward model reads the prompt together with one "
        "response and gives one score; it is trained so that the preferred answer scores higher. "
        "The scores 7.2 and 3.1 are illustrative.",
    ),
    "reward-model-training": Figure(
        "reward_model",
        "training",
        "Three panels. The reward model's loss on single batches over the training steps, beside "
        "that of guessing. "
        "Its accuracy on held-out pairs, which ends at {rm-accuracy}, beside the ceiling of "
        "{rm-ceiling} that the noise of the labels sets. Its scores on held-out pairs: chosen "
        "responses get {rm-chosen-score} on average, rejected ones {rm-rejected-score}.",
    ),
    "ppo-loop": Figure(
        "ppo",
        "loop",
        "The PPO loop: a prompt goes to the policy, which generates a response; the reward model "
        "reads prompt and response and scores 7.3; the policy's and the frozen reference's "
        "log-probabilities of the response give a KL penalty of 0.5; the total reward is 6.8; the "
        "PPO update improves the policy, and the loop repeats. The numbers are illustrative.",
    ),
    "ppo-curves": Figure(
        "ppo_runs",
        "curves",
        "Reward model score, gold reward and KL over the iterations of PPO, with the KL penalty "
        "and without it. At the end, on held-out prompts: score {ppo-proxy} against "
        "{ppo-no-kl-proxy}, gold {ppo-gold} against {ppo-no-kl-gold}, KL {ppo-kl} against "
        "{ppo-no-kl-kl}.",
    ),
    "gold-against-kl": Figure(
        "ppo_runs",
        "gold_against_kl",
        "Two panels, for a fast learning rate and a slow one: gold reward on held-out questions "
        "against KL from the SFT policy, the ways of PPO with the penalty and without it, means "
        "over five seeds. With the penalty the way ends at gold {early-stopping-fast-held-end-gold}"
        ", KL {early-stopping-fast-held-end-kl}, and at {early-stopping-slow-held-end-gold}, KL "
        "{early-stopping-slow-held-end-kl}. Without it the way goes on to more KL; it is stopped "
        "at {early-stopping-fast-free-stop-gold}, KL {early-stopping-fast-free-stop-kl}, and at "
        "{early-stopping-slow-free-stop-gold}, KL {early-stopping-slow-free-stop-kl}, and ends at "
        "{early-stopping-fast-free-end-gold} and {early-stopping-slow-free-end-gold}.",
        studies=("early_stopping",),
    ),
    "temperatures": Figure(
        "ppo_runs",
        "temperatures",
        "Gold reward on held-out questions against the temperature, from 0 to 1, of four models. "
        "The pretrained model has {base-greedy-gold} at 0 and {base-gold} at 1; SFT has "
        "{sft-greedy-gold} at 0, {sft-best-gold} at its best temperature and {sft-gold} at 1; PPO "
        "{ppo-greedy-gold} at 0 and {ppo-gold} at 1; PPO without the penalty "
        "{ppo-no-kl-greedy-gold} and {ppo-no-kl-gold}.",
    ),
    "response-length": Figure(
        "ppo_runs",
        "response_length",
        "Mean response length over the iterations of PPO, with and without the KL penalty. SFT "
        "responses have {sft-length}; at the end, on held-out prompts, {ppo-length} with the "
        "penalty and {ppo-no-kl-length} without.",
    ),
    "beta-sweep": Figure(
        "ppo",
        "beta_sweep",
        "Total reward of four illustrative answers against β: each is a falling line, the hacked "
        "answer's the steepest. It starts highest and crosses the great answer at β = 0.119, the "
        "good one at 0.444 and the safe one at 0.625.",
    ),
    "ppo-clip": Figure(
        "ppo",
        "clip",
        "PPO's clipped objective against the probability ratio, for a clip range of 0.2: with a "
        "positive advantage it rises to a ratio of 1.2 and is flat beyond; with a negative "
        "advantage it is flat below 0.8 and falls beyond.",
        reads=("rlhf_explained.formulas.losses", "rlhf_explained.formulas.masking"),
    ),
    "frontier": Figure(
        "frontier",
        "frontier",
        "Two panels. In one exact world, reward against KL from the reference: the frontier rises "
        "from the reference, ever less steeply. PPO, RLOO and DPO lie on it, at the same place; "
        "best-of-n, up to n = 64, runs a little below it; GRPO lies further right "
        "and below it, without the division by the deviation nearer to it. In five worlds, the "
        "reward of each method as a share of the frontier’s at the same KL.",
        studies=("frontier",),
    ),
    "demonstrations-preferences": Figure(
        "why",
        "demonstrations_preferences",
        "Demonstrations beside preferences. Illustrative: 5–10 minutes to write an answer, 30 "
        "seconds to compare two. Published: InstructGPT used 12,725 SFT prompts and 33,207 "
        "reward-model prompts, each with 4 to 9 ranked answers; Llama 2 used 27,540 "
        "demonstrations and 1,418,091 comparisons.",
    ),
    "methods": Figure(
        "methods",
        "gold_by_method",
        "Gold reward on held-out prompts over five seeds, with the KL from SFT. SFT "
        "{methods-sft-gold}, at its best temperature {methods-sft-best-gold}; SFT on the "
        "demonstrations marked good {methods-sft-good-gold} at {methods-sft-good-kl}, on the tenth "
        "graded best {methods-sft-best-tenth-gold} at {methods-sft-best-tenth-kl}; rejection "
        "sampling {methods-rejection-sampling-gold} at {methods-rejection-sampling-kl}; best of 16 "
        "{methods-best-of-16-gold} at a KL of at most {methods-best-of-16-kl}; PPO "
        "{methods-ppo-gold} at {methods-ppo-kl}; RLOO {methods-rloo-gold} at {methods-rloo-kl}; "
        "GRPO {methods-grpo-gold} at {methods-grpo-kl}; DPO {methods-dpo-gold} at "
        "{methods-dpo-kl}; PPO without the penalty {methods-ppo-no-kl-gold} at "
        "{methods-ppo-no-kl-kl}.",
        studies=("methods",),
        opened=True,
    ),
    "curation": Figure(
        "methods",
        "curation",
        "Gold reward on held-out prompts against the share of good demonstrations, means over five "
        "seeds. With 5 % good ones: SFT {curation-0-05-sft-1-0}, SFT on those marked good "
        "{curation-0-05-marked-1-0}, on the best tenth {curation-0-05-tenth-1-0}, DPO "
        "{curation-0-05-dpo-1-0}, PPO {curation-0-05-ppo-1-0}. With 70 %: {curation-0-7-sft-1-0}, "
        "{curation-0-7-marked-1-0}, {curation-0-7-tenth-1-0}, {curation-0-7-dpo-1-0} and "
        "{curation-0-7-ppo-1-0}.",
        studies=("curation",),
    ),
    "ablations": Figure(
        "ablations",
        "gold_without",
        "Change in gold reward on held-out prompts when one part of PPO is changed, with 95 % "
        "intervals over five seeds. A critic from SFT {ablations-critic-from-sft}; one on the "
        "policy’s trunk {ablations-critic-shared}, detached {ablations-critic-detached}; no critic "
        "{ablations-no-critic}; λ = 1 {ablations-lambda-1}; no clip {ablations-no-clip}; no value "
        "clip {ablations-no-value-clip}; no KL penalty {ablations-no-kl}; no whitening "
        "{ablations-no-whitening}; a pretraining mix on practised questions "
        "{ablations-mix-practised}, with the answers {ablations-mix-all}; eight epochs a batch "
        "instead of two {ablations-eight-epochs}; eight epochs without the clip, against with it, "
        "{ablations-eight-epochs-no-clip}.",
        studies=("ablations",),
    ),
    "critic-positions": Figure(
        "ablations",
        "critic_positions",
        "Explained variance of what an answer will still earn, before each of its first tokens, "
        "for four kinds of critic, means over five seeds. In training, over the last ten rounds: "
        "{ablations-ppo-explained-variance} for a network of its own that starts from the reward "
        "model, {ablations-critic-from-sft-explained-variance} for one that starts from SFT, "
        "{ablations-critic-detached-explained-variance} for a head on the policy’s trunk that does "
        "not change it and {ablations-critic-shared-explained-variance} for one that does.",
        studies=("ablations",),
    ),
    "reward-data": Figure(
        "reward_study",
        "over_pairs",
        "Two panels over 50 to 12,800 preference pairs. Accuracy on held-out pairs as the labeler "
        "chose: {reward-data-careful-50-accuracy} with 50 pairs and "
        "{reward-data-careful-12800-accuracy} with 12,800, under a dashed ceiling; by the gold "
        "reward's order {reward-data-careful-50-gold-accuracy} and "
        "{reward-data-careful-12800-gold-accuracy}. Gold of the answer that the judge likes best "
        "of 16: {reward-data-careful-50-best-of-16} and {reward-data-careful-12800-best-of-16}, "
        "between dashed lines for any answer and for the best of 16.",
        studies=("reward_data",),
    ),
    "label-noise": Figure(
        "reward_study",
        "by_labeler",
        "Accuracy by the gold reward's order over the number of pairs, for three labelers; with "
        "6,400 pairs the careful one reaches {reward-data-careful-6400-gold-accuracy}, the "
        "distracted one {reward-data-distracted-6400-gold-accuracy} and the hesitant one "
        "{reward-data-hesitant-6400-gold-accuracy}.",
        studies=("reward_data",),
    ),
    "timeline": Figure(
        "history",
        "timeline",
        "A timeline of learning from human preferences, from TAMER in 2008 by way of Christiano "
        "et al. 2017, Ziegler et al. 2019, Stiennon et al. 2020, InstructGPT and ChatGPT in 2022 "
        "and DPO in 2023 to DeepSeek-R1 in January 2025.",
    ),
}


_FOLDER = Path(__file__).parents[2]
STUDIES = ("rlhf_explained.studies", "rlhf_explained.studies.intervals")


@functools.cache
def sources(name: str) -> tuple[Path, ...]:
    """The files whose code decides what a figure looks like: a change in one asks for a redraw."""
    figure = FIGURES[name]
    own = (
        f"{__name__}.{part}"
        for part in ("style", "svg", "compact", "table", "numbers", figure.module)
    )
    said = (f"rlhf_explained.measured.{part}" for part in ("text", "verdicts", "of_studies"))
    modules = (*own, *said, *STUDIES, *figure.reads)
    # importlib.util.find_spec would import the modules' packages, and torch with the formulas
    places = [_FOLDER.joinpath(*module.split(".")) for module in modules]
    return tuple(
        place / "__init__.py" if place.is_dir() else place.with_suffix(".py") for place in places
    )


def alt_text(name: str, run: Run) -> str:
    """The figure's alternative text with the run's values in it."""
    from rlhf_explained.measured import filled

    return filled(FIGURES[name].alt, run)


def tables(name: str, run: Run) -> tuple[Table, ...]:
    """The numbers that the figure shows; none if it is a drawing without numbers."""
    return numbers.TABLES[name](run) if name in numbers.TABLES else ()


def draw(name: str, run: Run) -> str:
    """The figure drawn from the run, as inline SVG."""
    from rlhf_explained.figures import svg

    module = importlib.import_module(f"{__name__}.{FIGURES[name].module}")
    return svg.to_svg(getattr(module, FIGURES[name].function)(run), name)


def titled(drawing: str, title: str, alt: str) -> str:
    """Say what a drawing shows to those who cannot see it.

    Args:
        drawing: An `<svg>` element.
        title: An id for its title, which no other element of the page has.
        alt: The alternative text.

    Returns:
        The element as an image of that name.
    """
    opening, rest = drawing.split(">", 1)
    opening = opening.replace("<svg", f'<svg role="img" aria-labelledby="{title}"', 1)
    return f'{opening}><title id="{title}">{escape(alt, quote=False)}</title>{rest}'


def as_html(name: str, run: Run) -> str:
    """The figure drawn from the run, as an element of a page that holds it once."""
    drawing = titled(draw(name, run), f"figure-{name}-alt", alt_text(name, run))
    return f'<figure class="drawn" id="figure-{name}">{drawing}</figure>'
