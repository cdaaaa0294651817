// Calls a function once after a pause.
export function debounce(call, pause) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), pause);
  };
}

const log = debounce((text) => console.log(`said: ${text}`), 50);
["a", "b", "c"].forEach((text) => log(text));
