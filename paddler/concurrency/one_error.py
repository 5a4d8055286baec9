"""The one error that a nursery's exception group stands for."""

from __future__ import annotations

from typing import overload


@overload
def one_error(error: Exception) -> Exception: ...


@overload
def one_error(error: BaseException) -> BaseException: ...


def one_error(error: BaseException) -> BaseException:
    """`error` without the groups around it that hold nothing else.

    A group of several errors is returned as it is.
    """
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
