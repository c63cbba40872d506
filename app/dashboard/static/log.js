// A log as it grows: colours, a search, the first error. Everything is text; nothing of it is ever markup.

const MOST_LINES = 5000, MOST_OPEN = 65536;
const ERROR = /\b(error|exception|traceback|fatal|killed|out of memory|nan loss)\b/i;
const ESCAPE = /\x1b\[([0-9;:]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]?/g;
const STYLES = { 1: "a-bold", 2: "a-dim", 3: "a-italic", 4: "a-underline" };

// Pieces of a line with the classes of their colours; `state` goes from line to line.
export function coloured(line, state) {
  const pieces = [];
  let from = 0;
  const add = (text) => { if (text) pieces.push([text, [...state].join(" ")]); };
  for (const found of line.matchAll(ESCAPE)) {
    add(line.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") colour(found[1], state);
  }
  add(line.slice(from));
  return pieces;
}

function colour(codes, state) {
  const numbers = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < numbers.length; i += 1) {
    const code = numbers[i];
    const clear = (test) => { for (const each of state) if (test(each)) state.delete(each); };
    if (code === 0) state.clear();
    else if (STYLES[code]) state.add(STYLES[code]);
    else if (code === 22) clear((each) => each === "a-bold" || each === "a-dim");
    else if (code === 23) state.delete("a-italic");
    else if (code === 24) state.delete("a-underline");
    else if (code === 39) clear((each) => /^a-\d$/.test(each));
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      clear((each) => /^a-\d$/.test(each));
      state.add(`a-${code % 10}`);
    } else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4; // colours by number are not ours
  }
}

// Of a line that goes on what is still seen of it: a progress bar writes over itself all day.
function standing(line) {
  const end = line.search(/\r*$/), last = line.lastIndexOf("\r", end - 1);
  return line.slice(Math.max(end ? last + 1 : 0, line.length - MOST_OPEN));
}

export class Log {
  constructor(element) {
    this.element = element;
    this.job = element.dataset.job;
    this.attempt = element.dataset.attempt;
    this.offset = null;
    this.rest = "";
    this.state = new Set();
    this.decoder = new TextDecoder();
    this.isBusy = false;
    this.follow = document.getElementById("log-follow");
    this.search = document.getElementById("log-search");
    this.found = document.getElementById("log-found");
    document.getElementById("logbar").hidden = false;
    let timer = 0;
    this.search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => this.mark(), 150); });
    this.search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.next(); } });
    document.getElementById("log-next").addEventListener("click", () => this.next());
    document.getElementById("log-error").addEventListener("click", () => this.firstError());
    element.addEventListener("wheel", () => this.look(), { passive: true });
    element.addEventListener("keydown", () => this.look());
  }

  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    requestAnimationFrame(() => { this.follow.checked = scrollHeight - scrollTop - clientHeight < 40; });
  }

  // Read on until nothing more is there.
  async read() {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      for (let isMore = true; isMore;) isMore = await this.piece();
    } finally {
      this.isBusy = false;
    }
  }

  async piece() {
    const place = this.offset === null ? -262144 : this.offset;
    const answer = await fetch(`/v1/jobs/${this.job}/logs?attempt=${this.attempt}&offset=${place}&limit=262144`);
    if (!answer.ok) return false;
    const bytes = await answer.arrayBuffer();
    const start = Number(answer.headers.get("Levare-Offset")), size = Number(answer.headers.get("Levare-Size"));
    if (this.offset === null) {
      this.element.replaceChildren();
      if (start > 0) this.note(`${start} bytes before this are not shown.`);
    } else if (start > this.offset) this.note(`${start - this.offset} bytes were cut.`);
    this.offset = Number(answer.headers.get("Levare-Next-Offset"));
    if (bytes.byteLength) this.write(this.decoder.decode(bytes, { stream: true }));
    else if (start === 0 && !size) this.note("Nothing was written so far.");
    return bytes.byteLength > 0 && this.offset < size;
  }

  note(text) {
    const line = document.createElement("div");
    line.className = "cut";
    line.textContent = text;
    this.element.append(line);
  }

  write(text) {
    const lines = (this.rest + text).split("\n");
    const open = this.element.querySelector(".open");
    open?.remove();
    this.rest = standing(lines.pop());
    const all = document.createDocumentFragment();
    for (const line of lines.slice(-MOST_LINES)) all.append(this.line(line, this.state));
    if (this.rest) {
      const last = this.line(this.rest, new Set(this.state));
      last.classList.add("open");
      all.append(last);
    }
    this.element.append(all);
    while (this.element.children.length > MOST_LINES) this.element.firstElementChild.remove();
    if (this.search.value) this.mark();
    if (this.follow.checked) this.element.scrollTop = this.element.scrollHeight;
  }

  line(text, state) {
    const line = document.createElement("div");
    const shown = text.replace(/\r+$/, "");
    for (const [piece, classes] of coloured(shown.slice(shown.lastIndexOf("\r") + 1), state)) {
      if (!classes) { line.append(piece); continue; }
      const span = document.createElement("span");
      span.className = classes;
      span.textContent = piece;
      line.append(span);
    }
    if (!line.childNodes.length) line.append("\u00a0");
    return line;
  }

  mark() {
    for (const line of this.element.querySelectorAll(".hit")) line.classList.remove("hit", "at");
    const wanted = this.search.value.toLowerCase();
    this.hits = wanted ? [...this.element.children].filter((line) => line.textContent.toLowerCase().includes(wanted)) : [];
    for (const line of this.hits) line.classList.add("hit");
    this.found.textContent = wanted ? `${this.hits.length} line${this.hits.length === 1 ? "" : "s"}` : "";
  }

  next() {
    if (!this.hits?.length) this.mark();
    if (!this.hits.length) return;
    const at = this.hits.findIndex((line) => line.classList.contains("at"));
    this.to(this.hits[(at + 1) % this.hits.length], this.hits);
  }

  firstError() {
    const lines = [...this.element.children];
    const line = lines.find((each) => ERROR.test(each.textContent));
    this.found.textContent = line ? "" : "no line looks like an error";
    if (line) this.to(line, lines);
  }

  to(line, among) {
    for (const each of among) each.classList.remove("at");
    this.follow.checked = false;
    line.classList.add("hit", "at");
    line.scrollIntoView({ block: "center" });
  }
}
