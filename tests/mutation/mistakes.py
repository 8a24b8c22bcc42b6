"""Mistakes to plant, one at a time, in a copy of the stages: what a reader may get wrong."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """What is planted, and who has to notice.

    Attributes:
        old: Text that stands once in the file.
        new: What is written in its place.
        test: The test that has to fail: its file below `tests/`, and its name.
    """

    old: str
    new: str
    test: str


def stages(name: str) -> str:
    return f"test_stages.py::test_{name}"


def rollouts(name: str) -> str:
    return f"test_rollout.py::test_{name}"


MISTAKES: dict[str, dict[str, Mistake]] = {
    "rollout.py": {
        "a response counts up to the token before <eos>": Mistake(
            "        attended[:, end] = running\n        running &= drawn != EOS\n",
            "        running &= drawn != EOS\n        attended[:, end] = running\n",
            rollouts("a_response_counts_up_to_its_end_and_no_further"),
        ),
        "a response goes on after <eos>": Mistake(
            "drawn.masked_fill(~running, PAD)",
            "drawn",
            rollouts("a_response_counts_up_to_its_end_and_no_further"),
        ),
        "demonstrations have no <eos>": Mistake(
            "[*r, EOS, *[PAD] * (longest - len(r) - 1)]",
            "[*r, *[PAD] * (longest - len(r))]",
            rollouts("pack_lays_prompts_left_and_responses_right"),
        ),
        "the mask leaves <eos> out": Mistake(
            "head.shape[1], tail != PAD)",
            "head.shape[1], tail > EOS)",
            rollouts("pack_lays_prompts_left_and_responses_right"),
        ),
        "what was cut off counts as ended": Mistake(
            "((self.responses == EOS) & self.response_mask).any(1)",
            "self.response_mask.any(1)",
            rollouts("cutting_off_is_not_ending"),
        ),
        "logits of the position after": Mistake(
            "hidden[:, sequences.prompt_length - 1 : -1]",
            "hidden[:, sequences.prompt_length :]",
            rollouts("the_logits_before_the_response_predict_its_first_token"),
        ),
        "padding of prompts is attended": Mistake(
            "    attended = tokens != PAD\n",
            "    attended = torch.ones_like(tokens, dtype=torch.bool)\n",
            rollouts("logprobs_are_those_of_the_sampled_tokens_one_by_one"),
        ),
        "temperature turned around": Mistake(
            "(logits / temperature)",
            "(logits * temperature)",
            rollouts("sampling_follows_the_policys_probabilities"),
        ),
        "the likeliest token is drawn": Mistake(
            "drawn = torch.multinomial(probabilities, 1, generator=generator)[:, 0]",
            "drawn = probabilities.argmax(-1)",
            rollouts("sampling_follows_the_policys_probabilities"),
        ),
        "the judge reads one token too early": Mistake(
            "sequences.lengths - 1",
            "sequences.lengths - 2",
            rollouts("logprobs_are_those_of_the_sampled_tokens_one_by_one"),
        ),
        "the reference is the policy itself": Mistake(
            "response_logits_and_values(reference, sequences)",
            "response_logits_and_values(policy, sequences)",
            rollouts("logprobs_are_those_of_the_sampled_tokens_one_by_one"),
        ),
        "gradients flow into a rollout": Mistake(
            "@torch.no_grad()\ndef collect_rollout(",
            "def collect_rollout(",
            rollouts("a_rollout_carries_no_gradient"),
        ),
        "padding adds to the log-probability of a response": Mistake(
            "logprobs.masked_fill(~sequences.response_mask, 0).sum(1)",
            "logprobs.sum(1)",
            rollouts("the_log_probability_of_a_response_is_that_of_its_tokens"),
        ),
    },
    "stages/pretrain.py": {
        "documents have no <eos>": Mistake(
            "([*document, EOS] for",
            "([*document] for",
            stages("document_batches_end_and_pad_each_document"),
        ),
        "each token predicts itself": Mistake(
            "sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)",
            "sft_loss(policy(tokens), tokens, tokens != PAD)",
            stages("pretraining_reaches_the_entropy_of_its_corpus"),
        ),
        "padding is learned": Mistake(
            "tokens[:, 1:], tokens[:, 1:] != PAD)",
            "tokens[:, 1:], tokens[:, 1:] >= 0)",
            stages("padding_is_not_to_be_predicted"),
        ),
        "tokens of long documents count for less": Mistake(
            "loss * (_size(batches[pick]) / mean_size)",
            "loss",
            stages("every_token_of_the_web_counts_alike"),
        ),
        "uphill": Mistake(
            "loss * (_size(",
            "-loss * (_size(",
            stages("pretraining_reaches_the_entropy_of_its_corpus"),
        ),
        "gradients pile up": Mistake(
            "        optimizer.zero_grad()\n",
            "",
            stages("every_token_of_the_web_counts_alike"),
        ),
        "the recorded loss is that of all steps so far": Mistake(
            "            recent = []\n",
            "",
            stages("pretraining_reaches_the_entropy_of_its_corpus"),
        ),
    },
    "stages/sft.py": {
        "the base model is trained": Mistake(
            "copy.deepcopy(base)",
            "base",
            stages("sft_learns_its_demonstrations_and_leaves_the_base_alone"),
        ),
        "padding is learned": Mistake(
            "demonstrations.response_mask)",
            "torch.ones_like(demonstrations.response_mask))",
            stages("sft_counts_the_response_alone"),
        ),
        "uphill": Mistake(
            "config.learning_rate, fused=True)",
            "config.learning_rate, fused=True, maximize=True)",
            stages("sft_learns_its_demonstrations_and_leaves_the_base_alone"),
        ),
        "the held-out loss is that of the training data": Mistake(
            "demonstration_loss(policy, heldout)",
            "demonstration_loss(policy, demonstrations)",
            stages("sft_measures_its_loss_on_what_it_does_not_learn"),
        ),
    },
    "stages/reward_model.py": {
        "the SFT policy is trained": Mistake(
            "copy.deepcopy(sft)",
            "sft",
            stages("the_reward_model_learns_what_was_preferred_and_is_centred"),
        ),
        "the rejected one is to score higher": Mistake(
            "            score(reward_model, preferences.chosen.rows(rows)),\n"
            "            score(reward_model, preferences.rejected.rows(rows)),\n",
            "            score(reward_model, preferences.rejected.rows(rows)),\n"
            "            score(reward_model, preferences.chosen.rows(rows)),\n",
            stages("the_reward_model_learns_what_was_preferred_and_is_centred"),
        ),
        "the rejected side of other pairs": Mistake(
            "preferences.rejected.rows(rows)",
            "preferences.rejected.rows(rows.flip(0))",
            stages("each_answer_is_compared_with_the_other_to_its_prompt"),
        ),
        "accuracy counts what is wrong": Mistake(
            "(chosen > score(",
            "(chosen < score(",
            stages("the_reward_model_learns_what_was_preferred_and_is_centred"),
        ),
        "accuracy on the training pairs": Mistake(
            "accuracy(reward_model, heldout)",
            "accuracy(reward_model, preferences)",
            stages("accuracy_is_measured_on_the_other_pairs"),
        ),
        "the mean is added": Mistake(
            "bias.sub_(",
            "bias.add_(",
            stages("the_reward_model_learns_what_was_preferred_and_is_centred"),
        ),
        "the mean is that of the chosen ones": Mistake(
            "for side in (preferences.chosen, preferences.rejected)\n",
            "for side in (preferences.chosen,)\n",
            stages("the_reward_model_learns_what_was_preferred_and_is_centred"),
        ),
        "labels turned around": Mistake(
            "torch.where(first[:, None], ",
            "torch.where(~first[:, None], ",
            stages("the_labeler_prefers_what_is_worth_more"),
        ),
        "gold rewards in the order of sampling": Mistake(
            "gold.gather(1, order)",
            "gold",
            stages("the_labeler_prefers_what_is_worth_more"),
        ),
        "the ceiling of a labeler who always prefers the first": Mistake(
            "torch.maximum(certainty, 1 - certainty)",
            "certainty",
            stages("the_labeler_prefers_what_is_worth_more"),
        ),
        "equal answers are compared": Mistake(
            " if pair[1] != pair[2]]",
            "]",
            stages("collected_pairs_are_different_answers_of_the_right_prompts"),
        ),
        "held-out prompts are asked in training": Mistake(
            "draw_questions(256, held_out=held_out,",
            "draw_questions(256, held_out=not held_out,",
            stages("collected_pairs_are_different_answers_of_the_right_prompts"),
        ),
    },
    "stages/ppo.py": {
        "the reference is trained": Mistake(
            "copy.deepcopy(sft)",
            "sft",
            stages("ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone"),
        ),
        "the reference follows the policy": Mistake(
            "            policy,\n            sft,\n            judge,\n",
            "            policy,\n            policy,\n            judge,\n",
            stages("a_high_price_keeps_the_policy_at_home"),
        ),
        "the sampling policy is the first one": Mistake(
            "            policy,\n            sft,\n            judge,\n",
            "            sft,\n            sft,\n            judge,\n",
            stages("ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone"),
        ),
        "stale log-probabilities: old ones that follow the new": Mistake(
            "        logprobs, experience.logprobs, experience.advantages,",
            "        logprobs, logprobs.detach(), experience.advantages,",
            stages("ppos_loss_by_hand"),
        ),
        "stale values: old ones that follow the new": Mistake(
            "        values, experience.values, experience.returns,",
            "        values, values.detach(), experience.returns,",
            stages("ppos_loss_by_hand"),
        ),
        "the critic is fitted to the advantages": Mistake(
            "experience.values, experience.returns, mask",
            "experience.values, experience.advantages, mask",
            stages("ppos_loss_by_hand"),
        ),
        "the value loss is subtracted": Mistake(
            "policy_loss + config.value_coef",
            "policy_loss - config.value_coef",
            stages("ppos_loss_by_hand"),
        ),
        "the clip fraction counts padding": Mistake(
            "((ratio - 1).abs() > config.clip_range).float(), mask\n",
            "((ratio - 1).abs() > config.clip_range).float(), torch.ones_like(mask)\n",
            stages("ppos_loss_by_hand"),
        ),
        "minibatches take the advantages of other rows": Mistake(
            "part[index, :longest]",
            "part[: len(index), :longest]",
            stages("ppos_loss_by_hand"),
        ),
        "the penalty pays for leaving the reference": Mistake(
            "scores, rollout.logprobs, rollout.ref_logprobs, mask,",
            "scores, rollout.ref_logprobs, rollout.logprobs, mask,",
            stages("credit_by_hand"),
        ),
        "answers that were cut off keep their score": Mistake(
            "torch.where(rollout.sequences.ended, rollout.scores, unfinished)",
            "rollout.scores",
            stages("credit_by_hand"),
        ),
        "whitening forgotten": Mistake(
            "    advantages = masked_whiten(advantages, mask)\n",
            "",
            stages("credit_by_hand"),
        ),
        "gamma and lambda exchanged": Mistake(
            "gamma=config.gamma, gae_lambda=config.gae_lambda",
            "gamma=config.gae_lambda, gae_lambda=config.gamma",
            stages("credit_by_hand_with_a_critic"),
        ),
        "the critic is not asked": Mistake(
            "rewards, rollout.values, mask,",
            "rewards, torch.zeros_like(rollout.values), mask,",
            stages("credit_by_hand_with_a_critic"),
        ),
        "pretraining is unlearned": Mistake(
            "loss + config.pretraining_coef",
            "loss - config.pretraining_coef",
            stages("ppo_goes_on_learning_what_pretraining_taught"),
        ),
        "pretraining: each token predicts itself": Mistake(
            "sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)",
            "sft_loss(policy(tokens), tokens, tokens != PAD)",
            stages("ppo_goes_on_learning_what_pretraining_taught"),
        ),
        "pretraining: padding is learned": Mistake(
            "tokens[:, 1:], tokens[:, 1:] != PAD)",
            "tokens[:, 1:], tokens[:, 1:] >= 0)",
            stages("ppo_goes_on_learning_what_pretraining_taught"),
        ),
        "gradients pile up": Mistake(
            "                optimizer.zero_grad()\n",
            "",
            stages("ppo_goes_on_learning_what_pretraining_taught"),
        ),
        "the recorded KL counts padding": Mistake(
            "(rollout.logprobs - rollout.ref_logprobs).masked_fill(~mask, 0)",
            "(rollout.logprobs - rollout.ref_logprobs)",
            stages("ppo_writes_down_what_happened"),
        ),
        "the recorded KL has the wrong sign": Mistake(
            "(rollout.logprobs - rollout.ref_logprobs)",
            "(rollout.ref_logprobs - rollout.logprobs)",
            stages("ppo_writes_down_what_happened"),
        ),
        "the order of learning comes from the global generator": Mistake(
            "torch.randperm(config.batch, generator=generator)",
            "torch.randperm(config.batch)",
            stages("ppo_repeats_bitwise_whatever_the_global_state"),
        ),
    },
    "stages/dpo.py": {
        "the reference is trained": Mistake(
            "copy.deepcopy(sft)",
            "sft",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
        "the reference follows the policy": Mistake(
            "ref_better, ref_worse = ref_chosen[rows], ref_rejected[rows]",
            "ref_better, ref_worse = better.detach(), worse.detach()",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
        "the rejected response is preferred": Mistake(
            "dpo_loss(better, worse, ref_better, ref_worse,",
            "dpo_loss(worse, better, ref_worse, ref_better,",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
        "each is compared with the reference of the other": Mistake(
            "dpo_loss(better, worse, ref_better, ref_worse,",
            "dpo_loss(better, worse, ref_worse, ref_better,",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
        "the price is forgotten": Mistake(
            "beta=config.beta)",
            "beta=1.0)",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
        "the reference of other pairs": Mistake(
            "ref_chosen[rows], ref_rejected[rows]",
            "ref_chosen[: config.batch], ref_rejected[: config.batch]",
            stages("dpo_compares_each_response_with_its_own_reference"),
        ),
        "the recorded rewards turned around": Mistake(
            "config.beta * (better - ref_better), config.beta * (worse - ref_worse)",
            "config.beta * (ref_better - better), config.beta * (ref_worse - worse)",
            stages("dpo_prefers_what_was_chosen_and_starts_at_log_2"),
        ),
    },
    "stages/grpo.py": {
        "the reference is trained": Mistake(
            "copy.deepcopy(sft)",
            "sft",
            stages("grpo_writes_what_the_judge_likes_and_leaves_the_reference_alone"),
        ),
        "the reference follows the policy": Mistake(
            "            policy,\n            sft,\n            judge,\n",
            "            policy,\n            policy,\n            judge,\n",
            stages("a_high_price_keeps_grpo_at_home"),
        ),
        "stale log-probabilities: old ones that follow the new": Mistake(
            "logprobs, rollout.logprobs, better, mask,",
            "logprobs, logprobs.detach(), better, mask,",
            stages("clipping_ends_what_a_round_may_teach"),
        ),
        "neighbours answer different prompts": Mistake(
            "for prompt in prompts for _ in range(config.group_size)]",
            "for _ in range(config.group_size) for prompt in prompts]",
            stages("neighbours_in_a_batch_answer_one_prompt"),
        ),
        "answers that were cut off keep their score": Mistake(
            "torch.where(rollout.sequences.ended, rollout.scores, unfinished)",
            "rollout.scores",
            stages("an_answer_that_was_cut_off_is_scored_for_that_in_a_group_too"),
        ),
        "the penalty is paid out": Mistake(
            "rewards - config.kl_coef",
            "rewards + config.kl_coef",
            stages("grpos_advantages_by_hand"),
        ),
        "padding pays the penalty": Mistake(
            "kl_k1(rollout.logprobs, rollout.ref_logprobs).masked_fill(~mask, 0)",
            "kl_k1(rollout.logprobs, rollout.ref_logprobs)",
            stages("grpos_advantages_by_hand"),
        ),
        "the worse answer is preferred": Mistake(
            "(groups - others)",
            "(others - groups)",
            stages("grpos_advantages_by_hand"),
        ),
        "an answer is among the others": Mistake(
            "(groups.sum(1, keepdim=True) - groups) / (config.group_size - 1)",
            "groups.sum(1, keepdim=True) / config.group_size",
            stages("grpos_advantages_by_hand"),
        ),
        "the mean of the others divides by all": Mistake(
            "/ (config.group_size - 1)",
            "/ config.group_size",
            stages("grpos_advantages_by_hand"),
        ),
        "the loss pays for leaving the reference": Mistake(
            "loss = loss + config.kl_coef",
            "loss = loss - config.kl_coef",
            stages("grpos_loss_and_history_by_hand"),
        ),
        "the penalty's ratio turned around": Mistake(
            "for part in (logprobs, rollout.ref_logprobs)",
            "for part in (rollout.ref_logprobs, logprobs)",
            stages("grpos_loss_and_history_by_hand"),
        ),
        "the recorded KL counts padding": Mistake(
            "(rollout.logprobs - rollout.ref_logprobs).masked_fill(~mask, 0)",
            "(rollout.logprobs - rollout.ref_logprobs)",
            stages("grpos_loss_and_history_by_hand"),
        ),
    },
    "stages/best_of_n.py": {
        "the worst is kept": Mistake(
            ".argmax(1)",
            ".argmin(1)",
            stages("best_of_n_keeps_the_best_and_the_order_of_prompts"),
        ),
        "an answer to the first prompts": Mistake(
            "* n + best",
            "+ best",
            stages("best_of_n_keeps_the_best_and_the_order_of_prompts"),
        ),
        "groups of different prompts": Mistake(
            "for prompt in prompts for _ in range(n)]",
            "for _ in range(n) for prompt in prompts]",
            stages("best_of_n_keeps_the_best_and_the_order_of_prompts"),
        ),
    },
    "stages/evaluation.py": {
        "KL against itself": Mistake(
            "        policy,\n        sft,\n        partial(",
            "        policy,\n        policy,\n        partial(",
            stages("the_exam_marks_each_answer"),
        ),
        "the reference sits the exam": Mistake(
            "        policy,\n        sft,\n        partial(",
            "        sft,\n        policy,\n        partial(",
            stages("the_exam_marks_each_answer"),
        ),
        "the log-ratio has the wrong sign": Mistake(
            "(rollout.logprobs - rollout.ref_logprobs)",
            "(rollout.ref_logprobs - rollout.logprobs)",
            stages("the_exam_marks_each_answer"),
        ),
        "the log-ratio counts padding": Mistake(
            ".masked_fill(~mask, 0).sum(1)",
            ".sum(1)",
            stages("the_exam_marks_each_answer"),
        ),
        "standard errors of a share with the wrong sign": Mistake(
            "share * (1 - share)",
            "share * (1 + share)",
            stages("results_by_hand"),
        ),
        "standard errors shrink with n, not with its root": Mistake(
            "values.std().item() / math.sqrt(count)",
            "values.std().item() / count",
            stages("results_by_hand"),
        ),
    },
}
