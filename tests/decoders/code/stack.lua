-- A stack with a limit.
local Stack = {}
Stack.__index = Stack

function Stack.new(limit)
  return setmetatable({ items = {}, limit = limit }, Stack)
end

function Stack:push(item)
  if #self.items >= self.limit then
    error("full")
  end
  self.items[#self.items + 1] = item
end

local stack = Stack.new(2)
stack:push("one")
print(#stack.items)
