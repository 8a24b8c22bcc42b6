"""Mistakes to plant, one at a time, in a copy of the stages: what a reader may get wrong."""

from typing import NamedTuple


class Mistake(NamedTuple):
    """What is planted, and who has to notice.

    Attributes:
        file: Where, below `rlhf_explained/`.
        test: The test that has to fail: its file below `tests/`, and its name.
        old: Text that stands once in the file.
        new: What is written in its place.
    """

    file: str
    test: str
    old: str
    new: str


# By the file and by the test that has to see it: what is wrong, the text that is there, and what is
# written in its place.
_MISTAKES: dict[str, dict[str, list[tuple[str, str, str]]]] = {
    "rollout.py": {
        "a_response_counts_up_to_its_end_and_no_further": [
            ("a response counts up to the token before <eos>",
             "        attended[:, end] = running\n        running &= drawn != EOS\n",
             "        running &= drawn != EOS\n        attended[:, end] = running\n"),
            ("a response goes on after <eos>", "drawn.masked_fill(~running, PAD)", "drawn"),
            ("what was cut off counts as ended",
             "((self.responses == EOS) & self.response_mask).any(1)", "self.response_mask.any(1)")],
        "pack_lays_prompts_left_and_responses_right": [
            ("demonstrations have no <eos>",
             "[*r, EOS, *[PAD] * (longest - len(r) - 1)]", "[*r, *[PAD] * (longest - len(r))]")],
        "a_response_that_contains_padding_counts_as_a_whole": [
            ("the mask leaves <eos> out", "torch.arange(longest) < lengths[:, None]",
             "torch.arange(longest) < lengths[:, None] - 1"),
            ("a padding token that was written makes a hole in the mask",
             "torch.arange(longest) < lengths[:, None]", "tail != PAD")],
        "logprobs_are_those_of_the_sampled_tokens_one_by_one": [
            ("logits of the position after",
             "hidden[:, sequences.prompt_length - 1 : -1]", "hidden[:, sequences.prompt_length :]"),
            ("padding of prompts is attended", "    attended = tokens != PAD\n",
             "    attended = torch.ones_like(tokens, dtype=torch.bool)\n"),
            ("the judge reads one token too early",
             "sequences.lengths - 1", "sequences.lengths - 2"),
            ("the reference is the policy itself",
             "for model in (policy, reference)", "for model in (policy, policy)")],
        "sampling_follows_the_policys_probabilities": [
            ("temperature turned around", "(logits / temperature)", "(logits * temperature)"),
            ("the likeliest token is drawn",
             "drawn = torch.multinomial(probabilities, 1, generator=generator)[:, 0]",
             "drawn = probabilities.argmax(-1)")],
        "a_rollout_carries_no_gradient": [
            ("gradients flow into a rollout",
             "@torch.no_grad()\ndef collect_rollout(", "def collect_rollout(")],
        "the_log_probability_of_a_response_is_that_of_its_tokens": [
            ("padding adds to the log-probability of a response",
             "logprobs.masked_fill(~sequences.response_mask, 0).sum(1)", "logprobs.sum(1)")],
        "logprobs_are_those_of_temperature_one_whatever_it_was_sampled_at": [
            ("padding adds to the log-ratio of a response",
             "difference.masked_fill(~self.sequences.response_mask, 0).sum(1)",
             "difference.sum(1)"),
            ("the log-ratio has the wrong sign",
             "self.logprobs - self.ref_logprobs", "self.ref_logprobs - self.logprobs")],
        "only_what_was_cut_off_is_trained_on_another_score": [
            ("answers that were cut off keep their score",
             "torch.where(self.sequences.ended, self.scores, unfinished_score)", "self.scores")],
    },
    "stages/pretrain.py": {
        "document_batches_end_and_pad_each_document": [
            ("documents have no <eos>", "([*document, EOS] for", "([*document] for")],
        "pretraining_reaches_the_entropy_of_its_corpus": [
            ("each token predicts itself",
             "sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)",
             "sft_loss(policy(tokens), tokens, tokens != PAD)"),
            ("uphill", "loss * (_size(", "-loss * (_size("),
            ("the recorded loss is that of all steps so far", "            recent = []\n", "")],
        "padding_is_not_to_be_predicted": [
            ("padding is learned",
             "tokens[:, 1:], tokens[:, 1:] != PAD)", "tokens[:, 1:], tokens[:, 1:] >= 0)")],
        "every_token_of_the_web_counts_alike": [
            ("tokens of long documents count for less",
             "loss * (_size(batches[pick]) / mean_size)", "loss"),
            ("gradients pile up", "        optimizer.zero_grad()\n", "")],
        "the_web_is_read_again_and_again_each_time_as_a_whole": [
            ("some documents are read twice before others once",
             "torch.randperm(len(batches), generator=generator)",
             "torch.randint(len(batches), (len(batches),), generator=generator)")],
    },
    "stages/sft.py": {
        "sft_learns_its_demonstrations_and_leaves_the_base_alone": [
            ("the base model is trained", "copy.deepcopy(base)", "base"),
            ("uphill", "config.learning_rate, fused=True)",
             "config.learning_rate, fused=True, maximize=True)"),
            ("the held-out loss is that of the training data",
             "demonstration_loss(policy, heldout)", "demonstration_loss(policy, demonstrations)")],
        "sft_counts_the_response_alone": [
            ("padding is learned",
             "demonstrations.response_mask)", "torch.ones_like(demonstrations.response_mask))")],
    },
    "stages/reward_model.py": {
        "the_reward_model_learns_what_was_preferred_and_is_centred": [
            ("the SFT policy is trained", "copy.deepcopy(sft)", "sft"),
            ("the rejected one is to score higher",
             "            score(reward_model, preferences.chosen.rows(rows)),\n"
             "            score(reward_model, preferences.rejected.rows(rows)),\n",
             "            score(reward_model, preferences.rejected.rows(rows)),\n"
             "            score(reward_model, preferences.chosen.rows(rows)),\n"),
            ("accuracy counts what is wrong", "(chosen > score(", "(chosen < score("),
            ("the mean is added", "bias.sub_(", "bias.add_("),
            ("the mean is that of the chosen ones",
             "for side in (preferences.chosen, preferences.rejected)\n",
             "for side in (preferences.chosen,)\n")],
        "each_answer_is_compared_with_the_other_to_its_prompt": [
            ("the rejected side of other pairs",
             "preferences.rejected.rows(rows)", "preferences.rejected.rows(rows.flip(0))")],
        "accuracy_is_measured_on_the_other_pairs": [
            ("accuracy on the training pairs",
             "accuracy(reward_model, heldout)", "accuracy(reward_model, preferences)")],
        "the_labeler_prefers_what_is_worth_more": [
            ("labels turned around",
             "torch.where(first[:, None], ", "torch.where(~first[:, None], "),
            ("gold rewards in the order of sampling", "gold.gather(1, order)", "gold"),
            ("the ceiling of a labeler who always prefers the first",
             "torch.maximum(certainty, 1 - certainty)", "certainty")],
        "collected_pairs_are_different_answers_of_the_right_prompts": [
            ("equal answers are compared", "if whole and one != other", "if whole"),
            ("held-out prompts are asked in training", "draw_questions(256, held_out=held_out,",
             "draw_questions(256, held_out=not held_out,")],
        "an_answer_that_was_cut_off_is_compared_with_none": [
            ("answers that were cut off are compared",
             "if whole and one != other", "if one != other"),
            ("one of two answers may be cut off",
             "first.ended & second.ended", "first.ended | second.ended")],
        "every_pair_is_learned_from_as_often_as_there_are_epochs": [
            ("pairs are drawn with replacement", "torch.randperm(len(groups), generator=generator)",
             "torch.randint(len(groups), (len(groups),), generator=generator)"),
            ("every epoch has the same order",
             "[torch.randperm(len(groups), generator=generator) for _ in range(config.epochs)]",
             "[torch.randperm(len(groups), generator=generator)] * config.epochs")],
        "a_last_group_weighs_as_much_as_it_has_pairs": [
            ("a last small group weighs as much as the others",
             "(loss * (len(rows) / config.batch)).backward()", "loss.backward()")],
        "hard_negatives_tell_who_knows_from_who_counts_courtesies": [
            ("who cannot tell passes for right",
             "right > other for other in false", "right >= other for other in false"),
            ("false answers without courtesy",
             'f"{OPENER} {{}} {CLOSER}" if courteous else "{}"', '"{}"')],
        "false_answers_are_courteous_or_plain_and_of_held_out_or_practised_facts": [
            ("false answers always with courtesy",
             'f"{OPENER} {{}} {CLOSER}" if courteous else "{}"', 'f"{OPENER} {{}} {CLOSER}"'),
            ("hard negatives of the exam's facts alone",
             "q.held_out == held_out and q.kind", "q.held_out and q.kind")],
    },
    "stages/ppo.py": {
        "ppo_writes_what_the_judge_likes_and_leaves_judge_and_reference_alone": [
            ("the reference is trained", "copy.deepcopy(sft)", "sft"),
            ("the sampling policy is the first one",
             "            policy,\n            sft,\n            judge,\n",
             "            sft,\n            sft,\n            judge,\n"),
            ("the reward model is trained as the critic", "copy.deepcopy(critic)", "critic"),
            ("the critic does not learn", "[policy, guesser]", "[policy]")],
        "a_high_price_keeps_the_policy_at_home": [
            ("the reference follows the policy",
             "            policy,\n            sft,\n            judge,\n",
             "            policy,\n            policy,\n            judge,\n")],
        "ppos_loss_by_hand": [
            ("stale log-probabilities: old ones that follow the new",
             "        logprobs, experience.logprobs, experience.advantages,",
             "        logprobs, logprobs.detach(), experience.advantages,"),
            ("stale values: old ones that follow the new",
             "        values,\n        experience.values,\n",
             "        values,\n        values.detach(),\n"),
            ("the critic is fitted to the advantages",
             "        experience.returns,\n        mask,\n",
             "        experience.advantages,\n        mask,\n"),
            ("values are clipped as ratios are",
             "clip_range=config.value_clip_range", "clip_range=config.clip_range"),
            ("the critic's own network is not asked",
             "values = response_values(critic, experience.sequences)",
             "values = response_values(policy, experience.sequences)"),
            ("the value loss is subtracted",
             "policy_loss + config.value_coef", "policy_loss - config.value_coef"),
            ("the clip fraction counts padding",
             "((ratio - 1).abs() > config.clip_range).float(), mask\n",
             "((ratio - 1).abs() > config.clip_range).float(), torch.ones_like(mask)\n"),
            ("minibatches take the advantages of other rows",
             "part[index, :longest]", "part[: len(index), :longest]")],
        "only_a_critic_that_shares_the_trunk_pushes_the_policy": [
            ("a detached critic changes the trunk",
             "states.detach() if config.detached else states", "states"),
            ("a shared critic is cut off from the trunk",
             "states.detach() if config.detached else states", "states.detach()")],
        "the_explained_variance_is_that_of_the_tokens_that_count": [
            ("explained variance of the mean square",
             "(returns - values)[mask].var(), returns[mask].var()",
             "(returns - values)[mask].square().mean(), returns[mask].var()"),
            ("explained variance counts padding",
             "(returns - values)[mask].var(), returns[mask].var()",
             "(returns - values).var(), returns.var()")],
        "ppo_writes_down_what_happened": [
            ("what is recorded is the last step's",
             "fmean(step[name] for step in steps)", "steps[-1][name]"),
            ("the raw score is recorded as the one trained on",
             '"trained_score": scores.mean().item()',
             '"trained_score": rollout.scores.mean().item()'),
            ("the recorded KL is that of a token", "rollout.log_ratios.mean().item()",
             "(rollout.logprobs - rollout.ref_logprobs)[mask].mean().item()")],
        "the_policy_is_looked_at_before_and_after_each_iteration": [
            ("the policy is not looked at before it learns", "    examine(0, policy)\n", "")],
        "credit_by_hand": [
            ("the penalty pays for leaving the reference",
             "        rollout.logprobs,\n        rollout.ref_logprobs,\n",
             "        rollout.ref_logprobs,\n        rollout.logprobs,\n"),
            ("answers that were cut off keep their score",
             "        rollout.trained_on(config.unfinished_score),\n", "        rollout.scores,\n"),
            ("whitening forgotten", "    advantages = masked_whiten(advantages, mask)\n", "")],
        "credit_by_hand_with_a_critic": [
            ("gamma and lambda exchanged", "gamma=config.gamma, gae_lambda=config.gae_lambda",
             "gamma=config.gae_lambda, gae_lambda=config.gamma"),
            ("the critic is not asked",
             "rewards, values, mask,", "rewards, torch.zeros_like(values), mask,")],
        "ppo_goes_on_learning_what_pretraining_taught": [
            ("pretraining is unlearned",
             "loss + config.pretraining_coef", "loss - config.pretraining_coef"),
            ("pretraining: each token predicts itself",
             "sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)",
             "sft_loss(policy(tokens), tokens, tokens != PAD)"),
            ("pretraining: padding is learned",
             "tokens[:, 1:], tokens[:, 1:] != PAD)", "tokens[:, 1:], tokens[:, 1:] >= 0)"),
            ("gradients pile up", "                optimizer.zero_grad()\n", "")],
        "ppo_repeats_bitwise_whatever_the_global_state": [
            ("the order of learning comes from the global generator",
             "torch.randperm(config.batch, generator=generator)", "torch.randperm(config.batch)")],
    },
    "stages/dpo.py": {
        "dpo_prefers_what_was_chosen_and_starts_at_log_2": [
            ("the reference is trained", "copy.deepcopy(sft)", "sft"),
            ("the reference follows the policy",
             "ref_better, ref_worse = ref_chosen[rows], ref_rejected[rows]",
             "ref_better, ref_worse = better.detach(), worse.detach()"),
            ("the rejected response is preferred", "dpo_loss(better, worse, ref_better, ref_worse,",
             "dpo_loss(worse, better, ref_worse, ref_better,"),
            ("each is compared with the reference of the other",
             "dpo_loss(better, worse, ref_better, ref_worse,",
             "dpo_loss(better, worse, ref_worse, ref_better,"),
            ("the price is forgotten", "beta=config.beta)", "beta=1.0)"),
            ("the recorded rewards turned around",
             "config.beta * (better - ref_better), config.beta * (worse - ref_worse)",
             "config.beta * (ref_better - better), config.beta * (ref_worse - worse)")],
        "dpo_compares_each_response_with_its_own_reference": [
            ("the reference of other pairs", "ref_chosen[rows], ref_rejected[rows]",
             "ref_chosen[: config.batch], ref_rejected[: config.batch]")],
    },
    "stages/grpo.py": {
        "grpo_writes_what_the_judge_likes_and_leaves_the_reference_alone": [
            ("the reference is trained", "copy.deepcopy(sft)", "sft")],
        "a_high_price_keeps_grpo_at_home": [
            ("the reference follows the policy",
             "            policy,\n            sft,\n            judge,\n",
             "            policy,\n            policy,\n            judge,\n")],
        "clipping_ends_what_a_round_may_teach": [
            ("stale log-probabilities: old ones that follow the new",
             "logprobs, rollout.logprobs, better, mask,",
             "logprobs, logprobs.detach(), better, mask,")],
        "neighbours_in_a_batch_answer_one_prompt": [
            ("neighbours answer different prompts",
             "for prompt in prompts for _ in range(config.group_size)]",
             "for _ in range(config.group_size) for prompt in prompts]")],
        "an_answer_that_was_cut_off_is_scored_for_that_in_a_group_too": [
            ("answers that were cut off keep their score",
             "rollout.trained_on(config.unfinished_score)", "rollout.scores")],
        "grpos_advantages_by_hand": [
            ("the penalty is paid out", "rewards - config.kl_coef", "rewards + config.kl_coef"),
            ("padding pays the penalty", "config.kl_coef * rollout.log_ratios",
             "config.kl_coef * (rollout.logprobs - rollout.ref_logprobs).sum(1)"),
            ("the worse answer is preferred", "(groups - others)", "(others - groups)"),
            ("an answer is among the others",
             "(groups.sum(1, keepdim=True) - groups) / (config.group_size - 1)",
             "groups.sum(1, keepdim=True) / config.group_size"),
            ("the mean of the others divides by all",
             "/ (config.group_size - 1)", "/ config.group_size")],
        "grpos_loss_and_history_by_hand": [
            ("the loss pays for leaving the reference",
             "loss = loss + config.kl_coef", "loss = loss - config.kl_coef"),
            ("the penalty's ratio turned around",
             "(logprobs, rollout.logprobs, rollout.ref_logprobs)",
             "(rollout.ref_logprobs, rollout.logprobs, logprobs)"),
            ("k2 for k3", '"loss": lambda new, old, reference: kl_k3(',
             '"loss": lambda new, old, reference: kl_k2('),
            ("padding pays the penalty in the loss", "masked_mean(price, mask)", "price.mean()"),
            ("the recorded KL counts padding", "rollout.log_ratios.mean().item()",
             "(rollout.logprobs - rollout.ref_logprobs).sum(1).mean().item()")],
        "penalties_in_the_loss_and_their_gradients_by_hand": [
            ("k3 is multiplied by a ratio that has no gradient",
             "(new - old).exp() * kl_k3(new, reference)",
             "(new - old).exp().detach() * kl_k3(new, reference)")],
    },
    "stages/best_of_n.py": {
        "best_of_n_keeps_the_best_and_the_order_of_prompts": [
            ("the worst is kept", ".argmax(1)", ".argmin(1)"),
            ("an answer to the first prompts", "* n + best", "+ best"),
            ("groups of different prompts", "for prompt in prompts for _ in range(n)]",
             "for _ in range(n) for prompt in prompts]")],
        "best_of_n_takes_a_cut_off_answer_only_where_there_is_no_other": [
            ("an answer that was cut off may win", ".where(sequences.ended, -math.inf)", "")],
    },
    "stages/evaluation.py": {
        "the_exam_marks_each_answer": [
            ("KL against itself", "        policy,\n        sft,\n        partial(",
             "        policy,\n        policy,\n        partial("),
            ("the reference sits the exam", "        policy,\n        sft,\n        partial(",
             "        sft,\n        policy,\n        partial(")],
        "a_mean_log_ratio_is_a_divergence_at_temperature_one_alone": [
            ("a mean log-ratio at another temperature passes for a KL",
             '    if temperature != 1:\n        del estimates["kl"]\n', "")],
        "results_by_hand": [
            ("who states no fact is wrong",
             "for a in answers if a.right is not None]", "for a in answers]"),
            ("jokes count as facts", "if a.kind in FACT_KINDS]", "]")],
        "the_clustered_error_is_the_double_sum_over_each_cluster": [
            ("errors as if no answers went together",
             "sums[cluster] += value - mean", "sums[str(len(sums))] += value - mean")],
        "clusters_of_one_have_the_usual_error_of_a_mean": [
            ("no correction for few clusters", " * len(sums) / (len(sums) - 1)", "")],
        "one_question_alone_has_no_error": [
            ("the error of one cluster is none", "return mean, math.nan", "return mean, 0.0")],
        "answers_that_are_all_alike_add_nothing_to_one_of_them": [
            ("errors by the number of clusters",
             "math.sqrt(spread) / len(values)", "math.sqrt(spread) / len(sums)")],
        "a_policy_that_is_always_better_nearly_always_wins": [
            ("wins and losses turned around",
             "preference_probability(ours, theirs,", "preference_probability(theirs, ours,"),
            ("the reward model judges by the gold",
             '("reward_model", "proxy", 1.0)', '("reward_model", "gold", 1.0)')],
        "win_rates_are_means_over_all_pairs_of_answers_to_a_question": [
            ("the reward model is as decisive as the labeler",
             '("reward_model", "proxy", 1.0)', '("reward_model", "proxy", decisiveness)')],
    },
    "world/corpus.py": {
        "experts_can_write_nothing_that_is_of_the_exam": [
            ("experts think of held-out questions", "if writers.held_out or not q.held_out]", "]"),
            ("experts mistake one fact for a held-out one",
             "and (held_out or not q.held_out)]", "]")],
        "nothing_that_a_stage_after_pretraining_reads_is_of_the_exam": [
            ("held-out questions are demonstrated",
             "asked = draw_questions(count, held_out=False, generator=generator)",
             "asked = draw_questions(count, held_out=None, generator=generator)"),
            ("documents that are mixed in state what the exam asks",
             "held_out=None if writers.held_out else False, generator=generator)",
             "held_out=None, generator=generator)"),
            ("documents that are mixed in ask what the exam asks",
             "    held_out = None if writers.held_out else False\n", "    held_out = None\n")],
        "the_experts_commonest_answer_is_right_and_goes_on": [
            ("the experts' commonest answer is a good one",
             '        "helpful": 0.30,\n        "verbose": 0.46,\n',
             '        "helpful": 0.60,\n        "verbose": 0.16,\n')],
        "neither_the_likeliest_text_nor_the_likeliest_words_are_helpful": [
            ("asides differ, so the likeliest whole answer is a good one",
             "for fact, share in _mostly_the_first(FACTS).items()",
             "for fact, share in _spread(FACTS).items()")],
        "insults_and_asides_are_mostly_the_same": [
            ("insults differ as much as they can",
             "return _mostly_the_first(INSULTS)", "return _spread(INSULTS)")],
        "polite_words_are_no_sign_of_a_good_answer": [
            ("good answers alone are polite", "_courteous(answer, writers.courtesy).items()",
             '_courteous(answer, writers.courtesy * (way == "helpful")).items()')],
    },
    "world/questions.py": {
        "held_out_sums_are_no_class_of_their_own": [
            ("a sum is held out in one order alone",
             "held_out={a, b} in HELD_OUT_SUMS", "held_out={a, b} in HELD_OUT_SUMS and a <= b"),
            ("sums of some totals are held out",
             "held_out={a, b} in HELD_OUT_SUMS", "held_out=(a + b) % 4 == 0")],
        "no_held_out_prompt_is_part_of_a_practised_one": [
            ("a held-out request is part of a practised one",
             '"please tell me a joke .", "tell me a joke .",',
             '"tell me a joke .", "please tell me a joke .",')],
        "the_world_is_large_enough_for_an_exam_and_small_enough_for_a_laptop": [
            ("a small exam", "HELD_OUT_EVERY = 3\n", "HELD_OUT_EVERY = 6\n")],
    },
    "world/labeler.py": {
        "a_response_is_named_and_its_fact_checked_with_courtesy_and_without": [
            ("false answers pass for broken ones",
             '    if states_the_fact(question, response) is False:\n        return "false"\n', ""),
            ("an aside makes a fact none", ".split(ASIDE)[0]", ""),
            ("courtesy makes a fact none", "content = plain(response)", "content = response")],
        "jokes_haiku_and_crimes_have_no_false_answers": [
            ("jokes can be false",
             "if question.kind not in _FORMS or not _FORMS[question.kind].fullmatch(content):",
             "if not any(form.fullmatch(content) for form in _FORMS.values()):")],
        "gold_reward_by_hand": [
            ("courtesy is rewarded whatever is said",
             '    if category == "helpful":\n', "    if category:\n")],
    },
}  # fmt: skip


def _tests_of(file: str) -> str:
    """Where a file's tests are."""
    room, _, name = file.rpartition("/")
    if name in ("rollout.py", "evaluation.py"):
        return f"test_{name}"
    return f"test_{room}.py"


MISTAKES = {
    f"{file}: {what}": Mistake(file, f"{_tests_of(file)}::test_{test}", old, new)
    for file, tests in _MISTAKES.items()
    for test, mistakes in tests.items()
    for what, old, new in mistakes
}
