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


def exams(name: str) -> str:
    return f"test_evaluation.py::test_{name}"


def worlds(name: str) -> str:
    return f"test_world.py::test_{name}"


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
            "torch.arange(longest) < lengths[:, None]",
            "torch.arange(longest) < lengths[:, None] - 1",
            rollouts("a_response_that_contains_padding_counts_as_a_whole"),
        ),
        "a padding token that was written makes a hole in the mask": Mistake(
            "torch.arange(longest) < lengths[:, None]",
            "tail != PAD",
            rollouts("a_response_that_contains_padding_counts_as_a_whole"),
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
            "for model in (policy, reference)",
            "for model in (policy, policy)",
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
        "padding adds to the log-ratio of a response": Mistake(
            "difference.masked_fill(~self.sequences.response_mask, 0).sum(1)",
            "difference.sum(1)",
            rollouts("logprobs_are_those_of_temperature_one_whatever_it_was_sampled_at"),
        ),
        "the log-ratio has the wrong sign": Mistake(
            "self.logprobs - self.ref_logprobs",
            "self.ref_logprobs - self.logprobs",
            rollouts("logprobs_are_those_of_temperature_one_whatever_it_was_sampled_at"),
        ),
        "answers that were cut off keep their score": Mistake(
            "torch.where(self.sequences.ended, self.scores, unfinished_score)",
            "self.scores",
            rollouts("only_what_was_cut_off_is_trained_on_another_score"),
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
        "some documents are read twice before others once": Mistake(
            "torch.randperm(len(batches), generator=generator)",
            "torch.randint(len(batches), (len(batches),), generator=generator)",
            stages("the_web_is_read_again_and_again_each_time_as_a_whole"),
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
            "if whole and one != other",
            "if whole",
            stages("collected_pairs_are_different_answers_of_the_right_prompts"),
        ),
        "answers that were cut off are compared": Mistake(
            "if whole and one != other",
            "if one != other",
            stages("an_answer_that_was_cut_off_is_compared_with_none"),
        ),
        "one of two answers may be cut off": Mistake(
            "first.ended & second.ended",
            "first.ended | second.ended",
            stages("an_answer_that_was_cut_off_is_compared_with_none"),
        ),
        "pairs are drawn with replacement": Mistake(
            "torch.randperm(len(groups), generator=generator)",
            "torch.randint(len(groups), (len(groups),), generator=generator)",
            stages("every_pair_is_learned_from_as_often_as_there_are_epochs"),
        ),
        "every epoch has the same order": Mistake(
            "[torch.randperm(len(groups), generator=generator) for _ in range(config.epochs)]",
            "[torch.randperm(len(groups), generator=generator)] * config.epochs",
            stages("every_pair_is_learned_from_as_often_as_there_are_epochs"),
        ),
        "a last small group weighs as much as the others": Mistake(
            "(loss * (len(rows) / config.batch)).backward()",
            "loss.backward()",
            stages("a_last_group_weighs_as_much_as_it_has_pairs"),
        ),
        "who cannot tell passes for right": Mistake(
            "right > other for other in false",
            "right >= other for other in false",
            stages("hard_negatives_tell_who_knows_from_who_counts_courtesies"),
        ),
        "false answers without courtesy": Mistake(
            'f"{OPENER} {{}} {CLOSER}" if courteous else "{}"',
            '"{}"',
            stages("hard_negatives_tell_who_knows_from_who_counts_courtesies"),
        ),
        "false answers always with courtesy": Mistake(
            'f"{OPENER} {{}} {CLOSER}" if courteous else "{}"',
            'f"{OPENER} {{}} {CLOSER}"',
            stages("false_answers_are_courteous_or_plain_and_of_held_out_or_practised_facts"),
        ),
        "hard negatives of the exam's facts alone": Mistake(
            "q.held_out == held_out and q.kind",
            "q.held_out and q.kind",
            stages("false_answers_are_courteous_or_plain_and_of_held_out_or_practised_facts"),
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
            "        values,\n        experience.values,\n",
            "        values,\n        values.detach(),\n",
            stages("ppos_loss_by_hand"),
        ),
        "the critic is fitted to the advantages": Mistake(
            "        experience.returns,\n        mask,\n",
            "        experience.advantages,\n        mask,\n",
            stages("ppos_loss_by_hand"),
        ),
        "values are clipped as ratios are": Mistake(
            "clip_range=config.value_clip_range",
            "clip_range=config.clip_range",
            stages("ppos_loss_by_hand"),
        ),
        "the critic's own network is not asked": Mistake(
            "values = response_values(critic, experience.sequences)",
            "values = response_values(policy, experience.sequences)",
            stages("ppos_loss_by_hand"),
        ),
        "a detached critic changes the trunk": Mistake(
            "states.detach() if config.detached else states",
            "states",
            stages("only_a_critic_that_shares_the_trunk_pushes_the_policy"),
        ),
        "a shared critic is cut off from the trunk": Mistake(
            "states.detach() if config.detached else states",
            "states.detach()",
            stages("only_a_critic_that_shares_the_trunk_pushes_the_policy"),
        ),
        "the reward model is trained as the critic": Mistake(
            "copy.deepcopy(critic)",
            "critic",
            stages("ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone"),
        ),
        "the critic does not learn": Mistake(
            "[policy, guesser]",
            "[policy]",
            stages("ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone"),
        ),
        "explained variance of the mean square": Mistake(
            "(returns - values)[mask].var(), returns[mask].var()",
            "(returns - values)[mask].square().mean(), returns[mask].var()",
            stages("the_explained_variance_is_that_of_the_tokens_that_count"),
        ),
        "explained variance counts padding": Mistake(
            "(returns - values)[mask].var(), returns[mask].var()",
            "(returns - values).var(), returns.var()",
            stages("the_explained_variance_is_that_of_the_tokens_that_count"),
        ),
        "what is recorded is the last step's": Mistake(
            "fmean(step[name] for step in steps)",
            "steps[-1][name]",
            stages("ppo_writes_down_what_happened"),
        ),
        "the raw score is recorded as the one trained on": Mistake(
            '"trained_score": scores.mean().item()',
            '"trained_score": rollout.scores.mean().item()',
            stages("ppo_writes_down_what_happened"),
        ),
        "the policy is not looked at before it learns": Mistake(
            "    examine(0, policy)\n",
            "",
            stages("the_policy_is_looked_at_before_and_after_each_iteration"),
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
            "        rollout.logprobs,\n        rollout.ref_logprobs,\n",
            "        rollout.ref_logprobs,\n        rollout.logprobs,\n",
            stages("credit_by_hand"),
        ),
        "answers that were cut off keep their score": Mistake(
            "        rollout.trained_on(config.unfinished_score),\n",
            "        rollout.scores,\n",
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
            "rewards, values, mask,",
            "rewards, torch.zeros_like(values), mask,",
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
        "the recorded KL is that of a token": Mistake(
            "rollout.log_ratios.mean().item()",
            "(rollout.logprobs - rollout.ref_logprobs)[mask].mean().item()",
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
            "rollout.trained_on(config.unfinished_score)",
            "rollout.scores",
            stages("an_answer_that_was_cut_off_is_scored_for_that_in_a_group_too"),
        ),
        "the penalty is paid out": Mistake(
            "rewards - config.kl_coef",
            "rewards + config.kl_coef",
            stages("grpos_advantages_by_hand"),
        ),
        "padding pays the penalty": Mistake(
            "config.kl_coef * rollout.log_ratios",
            "config.kl_coef * (rollout.logprobs - rollout.ref_logprobs).sum(1)",
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
            "(logprobs, rollout.logprobs, rollout.ref_logprobs)",
            "(rollout.ref_logprobs, rollout.logprobs, logprobs)",
            stages("grpos_loss_and_history_by_hand"),
        ),
        "k3 is multiplied by a ratio that has no gradient": Mistake(
            "(new - old).exp() * kl_k3(new, reference)",
            "(new - old).exp().detach() * kl_k3(new, reference)",
            stages("penalties_in_the_loss_and_their_gradients_by_hand"),
        ),
        "k2 for k3": Mistake(
            '"loss": lambda new, old, reference: kl_k3(',
            '"loss": lambda new, old, reference: kl_k2(',
            stages("grpos_loss_and_history_by_hand"),
        ),
        "padding pays the penalty in the loss": Mistake(
            "masked_mean(price, mask)",
            "price.mean()",
            stages("grpos_loss_and_history_by_hand"),
        ),
        "the recorded KL counts padding": Mistake(
            "rollout.log_ratios.mean().item()",
            "(rollout.logprobs - rollout.ref_logprobs).sum(1).mean().item()",
            stages("grpos_loss_and_history_by_hand"),
        ),
    },
    "stages/best_of_n.py": {
        "the worst is kept": Mistake(
            ".argmax(1)",
            ".argmin(1)",
            stages("best_of_n_keeps_the_best_and_the_order_of_prompts"),
        ),
        "an answer that was cut off may win": Mistake(
            ".where(sequences.ended, -math.inf)",
            "",
            stages("best_of_n_takes_a_cut_off_answer_only_where_there_is_no_other"),
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
            exams("the_exam_marks_each_answer"),
        ),
        "the reference sits the exam": Mistake(
            "        policy,\n        sft,\n        partial(",
            "        sft,\n        policy,\n        partial(",
            exams("the_exam_marks_each_answer"),
        ),
        "a mean log-ratio at another temperature passes for a KL": Mistake(
            '    if temperature != 1:\n        del estimates["kl"]\n',
            "",
            exams("a_mean_log_ratio_is_a_divergence_at_temperature_one_alone"),
        ),
        "who states no fact is wrong": Mistake(
            "for a in answers if a.right is not None]",
            "for a in answers]",
            exams("results_by_hand"),
        ),
        "jokes count as facts": Mistake(
            "if a.kind in FACT_KINDS]",
            "]",
            exams("results_by_hand"),
        ),
        "errors as if no answers went together": Mistake(
            "sums[cluster] += value - mean",
            "sums[str(len(sums))] += value - mean",
            exams("the_clustered_error_is_the_double_sum_over_each_cluster"),
        ),
        "no correction for few clusters": Mistake(
            " * len(sums) / (len(sums) - 1)",
            "",
            exams("clusters_of_one_have_the_usual_error_of_a_mean"),
        ),
        "the error of one cluster is none": Mistake(
            "return mean, math.nan",
            "return mean, 0.0",
            exams("one_question_alone_has_no_error"),
        ),
        "errors by the number of clusters": Mistake(
            "math.sqrt(spread) / len(values)",
            "math.sqrt(spread) / len(sums)",
            exams("answers_that_are_all_alike_add_nothing_to_one_of_them"),
        ),
        "wins and losses turned around": Mistake(
            "preference_probability(ours, theirs,",
            "preference_probability(theirs, ours,",
            exams("a_policy_that_is_always_better_nearly_always_wins"),
        ),
        "the reward model judges by the gold": Mistake(
            '("reward_model", "proxy", 1.0)',
            '("reward_model", "gold", 1.0)',
            exams("a_policy_that_is_always_better_nearly_always_wins"),
        ),
        "the reward model is as decisive as the labeler": Mistake(
            '("reward_model", "proxy", 1.0)',
            '("reward_model", "proxy", decisiveness)',
            exams("win_rates_are_means_over_all_pairs_of_answers_to_a_question"),
        ),
    },
    "world/corpus.py": {
        "experts think of held-out questions": Mistake(
            "if writers.held_out or not q.held_out]",
            "]",
            worlds("experts_can_write_nothing_that_is_of_the_exam"),
        ),
        "experts mistake one fact for a held-out one": Mistake(
            "and (held_out or not q.held_out)]",
            "]",
            worlds("experts_can_write_nothing_that_is_of_the_exam"),
        ),
        "held-out questions are demonstrated": Mistake(
            "asked = draw_questions(count, held_out=False, generator=generator)",
            "asked = draw_questions(count, held_out=None, generator=generator)",
            worlds("nothing_that_a_stage_after_pretraining_reads_is_of_the_exam"),
        ),
        "documents that are mixed in state what the exam asks": Mistake(
            "held_out=None if writers.held_out else False, generator=generator)",
            "held_out=None, generator=generator)",
            worlds("nothing_that_a_stage_after_pretraining_reads_is_of_the_exam"),
        ),
        "documents that are mixed in ask what the exam asks": Mistake(
            "    held_out = None if writers.held_out else False\n",
            "    held_out = None\n",
            worlds("nothing_that_a_stage_after_pretraining_reads_is_of_the_exam"),
        ),
        "the experts' commonest answer is a good one": Mistake(
            '        "helpful": 0.30,\n        "verbose": 0.46,\n',
            '        "helpful": 0.60,\n        "verbose": 0.16,\n',
            worlds("the_experts_commonest_answer_is_right_and_goes_on"),
        ),
        "asides differ, so the likeliest whole answer is a good one": Mistake(
            "for fact, share in _mostly_the_first(FACTS).items()",
            "for fact, share in _spread(FACTS).items()",
            worlds("neither_the_likeliest_text_nor_the_likeliest_words_are_helpful"),
        ),
        "insults differ as much as they can": Mistake(
            "return _mostly_the_first(INSULTS)",
            "return _spread(INSULTS)",
            worlds("insults_and_asides_are_mostly_the_same"),
        ),
        "good answers alone are polite": Mistake(
            "_courteous(answer, writers.courtesy).items()",
            '_courteous(answer, writers.courtesy * (way == "helpful")).items()',
            worlds("polite_words_are_no_sign_of_a_good_answer"),
        ),
    },
    "world/questions.py": {
        "a sum is held out in one order alone": Mistake(
            "held_out={a, b} in HELD_OUT_SUMS",
            "held_out={a, b} in HELD_OUT_SUMS and a <= b",
            worlds("held_out_sums_are_no_class_of_their_own"),
        ),
        "sums of some totals are held out": Mistake(
            "held_out={a, b} in HELD_OUT_SUMS",
            "held_out=(a + b) % 4 == 0",
            worlds("held_out_sums_are_no_class_of_their_own"),
        ),
        "a held-out request is part of a practised one": Mistake(
            '"please tell me a joke .", "tell me a joke .",',
            '"tell me a joke .", "please tell me a joke .",',
            worlds("no_held_out_prompt_is_part_of_a_practised_one"),
        ),
        "a small exam": Mistake(
            "HELD_OUT_EVERY = 3\n",
            "HELD_OUT_EVERY = 6\n",
            worlds("the_world_is_large_enough_for_an_exam_and_small_enough_for_a_laptop"),
        ),
    },
    "world/labeler.py": {
        "false answers pass for broken ones": Mistake(
            '    if states_the_fact(question, response) is False:\n        return "false"\n',
            "",
            worlds("a_response_is_named_and_its_fact_checked_with_courtesy_and_without"),
        ),
        "an aside makes a fact none": Mistake(
            ".split(ASIDE)[0]",
            "",
            worlds("a_response_is_named_and_its_fact_checked_with_courtesy_and_without"),
        ),
        "courtesy makes a fact none": Mistake(
            "content = plain(response)",
            "content = response",
            worlds("a_response_is_named_and_its_fact_checked_with_courtesy_and_without"),
        ),
        "jokes can be false": Mistake(
            "if question.kind not in _FORMS or not _FORMS[question.kind].fullmatch(content):",
            "if not any(form.fullmatch(content) for form in _FORMS.values()):",
            worlds("jokes_haiku_and_crimes_have_no_false_answers"),
        ),
        "courtesy is rewarded whatever is said": Mistake(
            '    if category == "helpful":\n',
            "    if category:\n",
            worlds("gold_reward_by_hand"),
        ),
    },
}
