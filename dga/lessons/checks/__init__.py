"""Instant feedback for the assignments: the right answer, or a sentence that says what is wrong.

    from dga.lessons import checks
    checks.integrated_gradients(my_function)

A task with a formula has a truth and the mistakes people make with it, all as functions (`task`).
One that asks for judgement is measured, or judged statement by statement (`judgement`).
"""

from dga.lessons.checks.accused import line_up, suspects
from dga.lessons.checks.aggregation import any_method, distilled_gradient_aggregation
from dga.lessons.checks.baselines import hiding_colour, ig_report
from dga.lessons.checks.blind import blind_map
from dga.lessons.checks.class_maps import class_sensitivity, class_similarity, trained
from dga.lessons.checks.full_gradient import (
    bias_sum,
    implicit_bias,
    shared_by_size,
    uniform_fullgrad,
)
from dga.lessons.checks.gradients import gradient_times_input, input_gradient, integrated_gradients
from dga.lessons.checks.judgement import Verdicts, predictions
from dga.lessons.checks.ledgers import audit, empty_proof, ledger
from dga.lessons.checks.masks import distilled_inputs, extreme_mask, weak_mask
from dga.lessons.checks.planning import pictures_needed
from dga.lessons.checks.tables import roar_table, table_1
from dga.lessons.checks.task import Task, Wrong, choice, prediction
from dga.lessons.checks.zigzag import counterexample, scores_under, steady_rule

TASKS = {name: task for name, task in list(globals().items()) if isinstance(task, Task)}
