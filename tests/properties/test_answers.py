"""Every op on every backend gives the right answer, whatever the sizes and the values."""

from __future__ import annotations

from sparsefast import NearestCode
from tests.properties.answers import check_form, check_rows_apart, check_scale, unit_case
from tests.properties.calls import call
from tests.properties.definitions import check_definition, check_nearest
from tests.properties.strategies import Recipe, make, recipes
from tests.properties.tiers import MOST_SIGNALS, each_op, for_all


@each_op
def test_answers_are_right(op: str, backend: str, n_examples: int) -> None:
    def holds(recipe: Recipe) -> None:
        given = make(recipe)
        result = call(op, given, backend)
        check_form(op, given, result)
        case, result = check_rows_apart(op, given, result, backend)
        if not recipe.summable or len(case.signals) == 0:
            return
        if isinstance(result, NearestCode):
            check_nearest(case, result, exact=recipe.exact)
        elif (unit := unit_case(op, case)) is not None:
            code = call(op, unit[0], backend)
            check_scale(backend, result, code, unit[1])
            check_definition(op, unit[0], code, backend, exact=recipe.exact)

    for_all(recipes(MOST_SIGNALS[backend], forms=False), n_examples, holds)
