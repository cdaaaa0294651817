interface Item {
  readonly name: string;
  price: number;
  count?: number;
}

class Inventory<T extends Item> {
  private items: Map<string, T> = new Map();

  add(item: T): void {
    this.items.set(item.name, item);
  }

  total(): number {
    let sum = 0;
    for (const item of this.items.values()) {
      sum += item.price * (item.count ?? 1);
    }
    return sum;
  }
}

const inventory = new Inventory<Item>();
inventory.add({ name: "lamp", price: 12.5, count: 2 });
console.log(inventory.total());
