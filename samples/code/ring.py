"""A ring buffer that forgets the oldest items."""

from collections.abc import Iterator


class Ring:
    """Keeps the last `capacity` items."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring needs room, got capacity {capacity}")
        self._items: list[object] = []
        self._capacity = capacity
        self._start = 0

    def push(self, item: object) -> None:
        if len(self._items) < self._capacity:
            self._items.append(item)
        else:
            self._items[self._start] = item
            self._start = (self._start + 1) % self._capacity

    def __iter__(self) -> Iterator[object]:
        for i in range(len(self._items)):
            yield self._items[(self._start + i) % len(self._items)]


if __name__ == "__main__":
    ring = Ring(3)
    for n in range(10):
        ring.push(n * n)
    print(*ring)  # 49 64 81
