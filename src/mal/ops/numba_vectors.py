"""SIMD vectors of floats for numba: load, store, arithmetic, powers, logarithms.

Left to itself, LLVM gives up on finding what may be done at once in loops like the mean field's, and works pixel by
pixel. Here the vectors are spelled out, as a type that LLVM lays into the registers of whatever processor there is.

numba's cache on disk looks at the file of the compiled function alone: after a change here, save that file again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16  # one register of AVX-512, two of AVX2, four of NEON
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Vector{LANES}")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _FLOATS)


_VECTOR = _Vector()


@intrinsic
def load(typing_context, array, start):  # type: ignore[no-untyped-def]
    """LANES floats of a flat array, from any place on."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loaded = builder.load(_pointer(context, builder, signature, values))
        loaded.align = 4
        return loaded

    return _VECTOR(array, types.intp), emit


@intrinsic
def store(typing_context, array, start, vector):  # type: ignore[no-untyped-def]
    """Write LANES floats to a flat array, from any place on."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _pointer(context, builder, signature, values)).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


def _pointer(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, values[0])
    return builder.bitcast(builder.gep(array.data, [values[1]]), _FLOATS.as_pointer())


def _operation(emit: Callable[..., Any], *, arity: int, result: Any = _VECTOR) -> Any:
    """An operation on vectors. Single floats among its arguments are spread to all lanes."""

    def emit_wide(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pairs = zip(signature.args, values, strict=True)
        return emit(builder, *(value if kind == _VECTOR else _spread(builder, value) for kind, value in pairs))

    if arity == 1:
        return intrinsic(lambda typing_context, a: (result(a), emit_wide))
    if arity == 2:
        return intrinsic(lambda typing_context, a, b: (result(a, b), emit_wide))
    return intrinsic(lambda typing_context, a, b, c: (result(a, b, c), emit_wide))


def _spread(builder: Any, value: Any) -> Any:
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    single = builder.insert_element(undefined, value, ir.IntType(32)(0))
    return builder.shuffle_vector(single, undefined, ir.Constant(_INTS, [0] * LANES))


def _emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), [a, b, c])


def _emit_differ(builder: Any, a: Any, b: Any) -> Any:
    lanes = builder.bitcast(builder.fcmp_unordered("!=", a, b), ir.IntType(LANES))
    return builder.icmp_unsigned("!=", lanes, lanes.type(0))


def _integers(value: int) -> Any:
    return ir.Constant(_INTS, [value] * LANES)


def _emit_power_of_two(builder: Any, shifted: Any) -> Any:
    bits = builder.add(builder.bitcast(shifted, _INTS), _integers(127))
    return builder.bitcast(builder.shl(bits, _integers(23)), _FLOATS)


def _emit_exponent(builder: Any, x: Any) -> Any:
    from_root_half = builder.sub(builder.bitcast(x, _INTS), _integers(0x3F3504F3))
    return builder.ashr(from_root_half, _integers(23))


def _emit_mantissa(builder: Any, x: Any) -> Any:
    exponent = builder.shl(_emit_exponent(builder, x), _integers(23))
    return builder.bitcast(builder.sub(builder.bitcast(x, _INTS), exponent), _FLOATS)


add = _operation(lambda builder, a, b: builder.fadd(a, b), arity=2)
sub = _operation(lambda builder, a, b: builder.fsub(a, b), arity=2)
mul = _operation(lambda builder, a, b: builder.fmul(a, b), arity=2)
div = _operation(lambda builder, a, b: builder.fdiv(a, b), arity=2)
fma = _operation(_emit_fma, arity=3)  # a * b + c
at_least = _operation(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), b, a), arity=2)
at_most = _operation(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), b, a), arity=2)
differ = _operation(_emit_differ, arity=2, result=types.boolean)  # in any lane
power_of_two = _operation(_emit_power_of_two, arity=1)  # of n, given as n + _SHIFT: its lowest bits are n's
# x = mantissa · 2^exponent, with the mantissa in √½..√2
exponent = _operation(lambda builder, x: builder.sitofp(_emit_exponent(builder, x), _FLOATS), arity=1)
mantissa = _operation(_emit_mantissa, arity=1)

_ONE = np.float32(1)
_SHIFT = np.float32(1.5 * 2**23)  # adding it rounds to a whole number
_LOWEST_EXPONENT = np.float32(-126)
# Least squares at Chebyshev's points, of (2^f - 1) / f for f in ±½ and of log2(1 + m) / m for m in √½-1..√2-1. The
# errors of the functions, 7e-9 and 2e-8, are below float32's rounding.
_P = (0.693147188, 0.2402265092, 0.05550357104, 0.00961805667, 0.001339086735, 0.0001546144747)
_Q_LOW = (1.442695004, -0.7213473334, 0.4809106099, -0.3607048281, 0.2879183245)
_Q_HIGH = (-0.2389203398, 0.2156698591, -0.2074210352, 0.1261484661)
_P0, _P1, _P2, _P3, _P4, _P5 = map(np.float32, _P)
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8 = map(np.float32, (*_Q_LOW, *_Q_HIGH))


@njit(forceinline=True)
def exp2(x):  # type: ignore[no-untyped-def]
    """2 to the power of each x, with what is below -126 taken as -126; right to float32's last bit or two."""
    x = at_least(x, _LOWEST_EXPONENT)
    shifted = add(x, _SHIFT)
    f = sub(x, sub(shifted, _SHIFT))
    p = fma(fma(fma(fma(fma(_P5, f, _P4), f, _P3), f, _P2), f, _P1), f, _P0)
    return mul(fma(p, f, _ONE), power_of_two(shifted))


@njit(forceinline=True)
def log2(x):  # type: ignore[no-untyped-def]
    """The logarithm to base 2 of each x, which must be positive and finite; right to 1e-7 or its last bit or two."""
    m = sub(mantissa(x), _ONE)
    q = fma(fma(fma(fma(_Q8, m, _Q7), m, _Q6), m, _Q5), m, _Q4)
    q = fma(fma(fma(fma(q, m, _Q3), m, _Q2), m, _Q1), m, _Q0)
    return fma(q, m, exponent(x))
