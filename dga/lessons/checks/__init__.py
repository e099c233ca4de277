"""Instant feedback for the assignments: the right answer, or a sentence that says what is wrong.

    from dga.lessons import checks
    checks.integrated_gradients(my_function)

Every task has a truth and the mistakes people make with it, all as functions (`task`). One file per
assignment, and the small networks and pictures they run on (`examples`).
"""

from dga.lessons.checks.aggregation import (
    distilled_gradient_aggregation,
    morf_curve,
    paired_interval,
    pixel_relevance,
)
from dga.lessons.checks.full_gradient import (
    batch_norm_bias,
    bias_sum,
    implicit_bias,
    uniform_fullgrad,
    uniform_share,
)
from dga.lessons.checks.gradients import (
    convergence_delta,
    finite_difference,
    gradient_times_input,
    input_gradient,
    integrated_gradients,
)
from dga.lessons.checks.masks import (
    blend,
    distilled_inputs,
    extreme_mask,
    largest_count,
    weak_mask,
)
from dga.lessons.checks.task import Task, Wrong, choice, prediction

TASKS = {name: task for name, task in list(globals().items()) if isinstance(task, Task)}
