# A tree that keeps words in order.
class Tree
  include Enumerable

  def initialize(word)
    @word = word
  end

  def add(word)
    side = word < @word ? :@left : :@right
    child = instance_variable_get(side)
    child ? child.add(word) : instance_variable_set(side, Tree.new(word))
    self
  end

  def each(&block)
    @left&.each(&block)
    yield @word
    @right&.each(&block)
  end
end

puts Tree.new("m").add("a").add("z").to_a.join(" ")
