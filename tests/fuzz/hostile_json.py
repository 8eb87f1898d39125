"""Makes hostile JSON out of good JSON: for every fuzzer whose target reads a document.

Owns the ways of damaging a document. It must not know what any document means.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

_DEEP = 3000
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"(?!\s*:)|-?\d[\d.eE+-]*|true|false|null')
_TOKENS = (
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"0.1",
    b"1e308",
    b"-1e308",
    b"1e999",
    b"-1e999",
    b"1e-999",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"9007199254740992",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1" * 400,
    b"1" * 5000,
    b"0." + b"3" * 400,
    b"01",
    b"+1",
    b".5",
    b"1.",
    b"true",
    b"null",
    b"[]",
    b"{}",
    b"[null]",
    b"[[0]]",
    b'{"0":0}',
    b'{"0":1,"0":2}',
    b'{"1":0}',
    b'{"00":0}',
    b'{"\\u0660":0}',
    b'""',
    b'"x"',
    b'"0"',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\x1b[2J"',
    b'"a/b"',
    b'"../x"',
    b'"' + "\u202e\ufeff\U0010ffff".encode() + b'"',
    b'"' + b"x" * 300 + b'"',
    b'"' + b"x" * 9000 + b'"',
    b"[" * _DEEP + b"]" * _DEEP,
    b"[" * _DEEP,
    b'{"a":' * _DEEP,
    b"",
)


def hostile_documents(seeds: Sequence[bytes], inputs: int, rng: random.Random) -> Iterator[bytes]:
    """Documents from noise to nearly right.

    Args:
        seeds: Good documents.
        inputs: How many to make.
        rng: Makes them repeatable.
    """
    places = [[match.span() for match in _VALUE.finditer(seed)] for seed in seeds]
    for number in range(inputs):
        which = rng.randrange(len(seeds))
        seed, spans = seeds[which], places[which]
        match number & 7:
            case 0:
                yield rng.randbytes(rng.randrange(80))
            case 1:
                yield seed[: rng.randrange(len(seed) + 1)]
            case 2:
                other = seeds[rng.randrange(len(seeds))]
                yield seed[: rng.randrange(len(seed) + 1)] + other[rng.randrange(len(other)) :]
            case 3:
                yield _with_one_key_more(seed, rng)
            case 4:
                changed = bytearray(seed)
                for _ in range(rng.randrange(1, 5)):
                    changed[rng.randrange(len(changed))] = rng.randrange(256)
                yield bytes(changed)
            case _:
                yield _with_other_values(seed, spans, rng)


def _with_other_values(seed: bytes, spans: Sequence[tuple[int, int]], rng: random.Random) -> bytes:
    changed = seed
    # From the end, so that the places in front stay where they are.
    for start, end in sorted(rng.sample(spans, min(len(spans), rng.randrange(1, 3))), reverse=True):
        # Half the time a number close to what is allowed, so that the ranges are reached as well.
        token = (
            rng.choice(_TOKENS)
            if rng.randrange(2)
            else b"%.*f" % (rng.randrange(4), rng.uniform(-200, 200))
        )
        changed = changed[:start] + token + changed[end:]
    return changed


def _with_one_key_more(seed: bytes, rng: random.Random) -> bytes:
    braces = [at for at, byte in enumerate(seed) if byte == ord("{")]
    if not braces:
        return seed + seed
    at = rng.choice(braces) + 1
    keys = re.findall(rb'"[^"]*"(?=\s*:)', seed) or [b'"x"']
    key = rng.choice(keys) if rng.randrange(2) else b'"unknown"'
    comma = b"" if seed[at : at + 1] == b"}" else b","
    return seed[:at] + key + b":" + rng.choice(_TOKENS) + comma + seed[at:]
