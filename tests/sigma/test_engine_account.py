"""What a rule costs: only what is heavy in one evaluation is held against it."""

from __future__ import annotations

from cityguard.sigma.engine.account import CALL, REST, WINDOW, Account


def test_many_small_batches_do_not_put_a_rule_to_rest() -> None:
    account = Account()
    for _ in range(WINDOW):
        account.book(0, CALL, 1, 0)
        assert not list(account.passed(1))
    assert account.costs[0].nanoseconds == WINDOW * CALL


def test_a_rule_that_is_slow_within_its_evaluations_rests_and_comes_back() -> None:
    account = Account()
    account.book(0, CALL, 1, 0)
    account.book(1, 10 * CALL + 400_000_000, 1, 0)
    assert [rule for rule, _ in account.passed(WINDOW)] == [1]
    assert 1 in account.resting
    assert not list(account.passed(REST))
    assert 1 not in account.resting
