// Stands before a page: its channel comes under our hands with the first message, which is the whole page.

const feeding = window.feeding = { socket: null, whole: null, number: 0 };

window.WebSocket = class extends WebSocket {
  constructor(...address) {
    super(...address);
    feeding.socket = this;
    this.addEventListener("message", (event) => {
      if (feeding.whole) return;
      feeding.whole = JSON.parse(event.data);
      feeding.number = feeding.whole.n;
      setTimeout(() => { feeding.take = this.onmessage; this.onmessage = null; });
    });
  }
};

feeding.isReady = () => Boolean(feeding.take);

// What a message of the server may say: other numbers in all parts, and every other time a row less in each list.
feeding.next = () => {
  const { set, lists } = feeding.whole, n = feeding.number += 1, isShort = n % 2;
  const changed = (html) => html.replace(/>([^<]*)\d([^<]*)</g, (_, before, after) => `>${before}${n % 10}${after}<`);
  const kept = Object.entries(lists).map(([name, keys]) => [name, isShort ? keys.slice(0, -1) : keys]);
  const seen = new Set(kept.flatMap(([, keys]) => keys));
  const parts = Object.entries(set).filter(([key]) => seen.has(key)).map(([key, html]) => [key, changed(html)]);
  return JSON.stringify({ n, set: Object.fromEntries(parts), lists: Object.fromEntries(kept) });
};

feeding.feed = async (messages) => {
  for (let i = 0; i < messages; i += 1) feeding.take.call(feeding.socket, { data: feeding.next() });
  await new Promise((resolve) => setTimeout(resolve));
};
