"""A queue of two stacks."""

from dataclasses import dataclass, field


@dataclass
class Queue:
    incoming: list = field(default_factory=list)
    outgoing: list = field(default_factory=list)

    def push(self, item):
        self.incoming.append(item)

    def pop(self):
        if not self.outgoing:
            while self.incoming:
                self.outgoing.append(self.incoming.pop())
        return self.outgoing.pop()


if __name__ == "__main__":
    queue = Queue()
    for word in "first second third".split():
        queue.push(word)
    print(queue.pop())
