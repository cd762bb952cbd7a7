"""The shortest path through points: their order on a curve of which only few points are known."""

from __future__ import annotations

import numpy as np

# Points that are moved together to another place of the path, at most; gains that are rounding.
_SEGMENT, _ROUNDING = 3, 1e-9
# Longest edge of a curve, in units of the usual ones at its ends, and fewest points of a closed one.
_LONGEST, _CLOSED = 3.0, 22


def shortest_path(gaps: np.ndarray) -> np.ndarray:
    """An order (M,) of points, given their distances (M, M), in which the path through all is short.

    Shortest edges first, then the best change of two edges, or move of up to three points, as long as
    one shortens the path: on tens of points usually the shortest of all.

    References
    ----------
    Croes, Operations Research 6, 1958 (two edges); Or, thesis, Northwestern University, 1976 (moves).
    """
    count = len(gaps)
    # A point at no distance from all others makes a round trip of the path.
    trip_gaps = np.pad(gaps, (0, 1))
    trip = np.append(_greedy(gaps), count)
    least = _ROUNDING * float(gaps.max())
    while True:
        gain, better = max(
            _turned(trip, trip_gaps), _moved(trip, trip_gaps), key=lambda pair: pair[0]
        )
        if gain <= least:
            break
        trip = better
    return np.roll(trip, -int((trip == count).argmax()))[1:]


def greedy_curves(gaps: np.ndarray) -> np.ndarray:
    """Edges (2, E) between points, given their distances (M, M), that make closed and open curves.

    The shortest first, in units of how far the second nearest points of both ends are.
    """
    usual = np.sort(gaps, 1)[:, 2].clip(1e-300)
    row, column = np.triu_indices(len(gaps), 1)
    near = gaps[row, column] <= _LONGEST * np.minimum(usual[row], usual[column])
    row, column = row[near], column[near]
    order = (gaps[row, column] ** 2 / (usual[row] * usual[column])).argsort(kind="stable")
    degree, part, size = np.zeros(len(gaps), dtype=int), np.arange(len(gaps)), np.ones(len(gaps))
    edges = []
    for i, j in zip(row[order].tolist(), column[order].tolist(), strict=True):
        if degree[i] == 2 or degree[j] == 2:
            continue
        if part[i] != part[j]:
            size[part == part[j]] = size[part == part[i]] = size[i] + size[j]
            part[part == part[j]] = part[i]
        elif size[i] < _CLOSED:
            continue
        degree[[i, j]] += 1
        edges.append((i, j))
    return np.array(edges).T


def _greedy(gaps: np.ndarray) -> np.ndarray:
    """The path of the shortest edges that leave it a path."""
    count = len(gaps)
    row, column = np.triu_indices(count, 1)
    part = np.arange(count)
    neighbors: list[list[int]] = [[] for _ in range(count)]
    for e in gaps[row, column].argsort(kind="stable"):
        i, j = int(row[e]), int(column[e])
        if len(neighbors[i]) < 2 and len(neighbors[j]) < 2 and part[i] != part[j]:
            neighbors[i].append(j)
            neighbors[j].append(i)
            part[part == part[j]] = part[i]
    path = [next(i for i in range(count) if len(neighbors[i]) < 2)]
    while len(path) < count:
        path.append(next(j for j in neighbors[path[-1]] if j not in path[-2:]))
    return np.array(path)


def _turned(trip: np.ndarray, gaps: np.ndarray) -> tuple[float, np.ndarray]:
    """The best gain by turning a part of a round trip round, and the trip."""
    d = gaps[np.ix_(trip, trip)]
    after = np.roll(np.arange(len(trip)), -1)
    step = d[np.arange(len(trip)), after]
    gain = np.triu(step[:, None] + step - d - d[np.ix_(after, after)], 2)
    i, j = np.unravel_index(int(gain.argmax()), gain.shape)
    better = trip.copy()
    better[i + 1 : j + 1] = better[i + 1 : j + 1][::-1]
    return float(gain[i, j]), better


def _moved(trip: np.ndarray, gaps: np.ndarray) -> tuple[float, np.ndarray]:
    """The best gain by moving a few points of a round trip to another place, and the trip."""
    found = (0.0, trip)
    for length in range(1, min(_SEGMENT, len(trip) - 3) + 1):
        for start in range(len(trip)):
            part, rest = np.split(np.roll(trip, -start), [length])
            saved = gaps[rest[-1], part[0]] + gaps[part[-1], rest[0]] - gaps[rest[-1], rest[0]]
            if saved <= found[0]:
                continue
            for way in (part, part[::-1]):
                gain = saved + gaps[rest[:-1], rest[1:]]
                gain = gain - gaps[rest[:-1], way[0]] - gaps[way[-1], rest[1:]]
                place = int(gain.argmax())
                if gain[place] > found[0]:
                    better = np.concatenate([rest[: place + 1], way, rest[place + 1 :]])
                    found = (float(gain[place]), better)
    return found
