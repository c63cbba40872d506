// The page as it changes: parts by their keys, replaced where they stand.

import { showAges } from "./page.js";

const FIRST_PAUSE = 500, LONGEST_PAUSE = 15000;
const link = document.getElementById("link");
const page = document.getElementById("main").dataset.live;
let pause = FIRST_PAUSE, number = 0, timer = 0;

function say(text, isLive) {
  link.textContent = text;
  link.className = `soft ${isLive ? "is-live" : "is-off"}`;
}

function made(html) {
  // A row may stand in a table only, so each is made where its kind may be.
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}

function replace(key, html) {
  const old = document.getElementById(key);
  const fresh = made(html);
  if (!old) return fresh;
  const focused = old.contains(document.activeElement) ? whereIs(document.activeElement) : null;
  for (const box of old.querySelectorAll("input[type=checkbox]")) {
    const same = fresh.querySelector(`input[value="${CSS.escape(box.value)}"]`);
    if (same) same.checked = box.checked;
  }
  const isOpen = old.querySelector("details")?.open;
  if (isOpen) fresh.querySelector("details")?.setAttribute("open", "");
  old.replaceWith(fresh);
  if (focused) fresh.querySelector(focused)?.focus({ preventScroll: true });
  return fresh;
}

function whereIs(element) {
  for (const name of ["formaction", "href"]) {
    const value = element.getAttribute(name);
    if (value) return `[${name}="${CSS.escape(value)}"]`;
  }
  return element.tagName;
}

function arrange(list, keys, fresh) {
  const element = document.querySelector(`[data-list="${CSS.escape(list)}"]`);
  if (!element) return;
  const wanted = new Set(keys);
  for (const child of [...element.children]) if (!wanted.has(child.id)) child.remove();
  keys.forEach((key, place) => {
    const item = document.getElementById(key) ?? fresh.get(key);
    if (item && element.children[place] !== item) element.insertBefore(item, element.children[place] ?? null);
  });
}

function take(message) {
  if (message.trouble !== undefined) say(message.trouble || "live", !message.trouble);
  const fresh = new Map();
  for (const [key, html] of Object.entries(message.set ?? {})) {
    const item = replace(key, html);
    fresh.set(key, item);
    showAges(item);
  }
  for (const [list, keys] of Object.entries(message.lists ?? {})) arrange(list, keys, fresh);
  if (message.set) document.dispatchEvent(new CustomEvent("levare:changed"));
}

function open() {
  clearTimeout(timer);
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/v1/live?page=${encodeURIComponent(page)}`);
  socket.onopen = () => {
    pause = FIRST_PAUSE;
    number = 0;
    say("live", true);
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (number && !message.whole && message.n !== number + 1) { socket.close(); return; } // something was missed
    number = message.n;
    take(message);
  };
  socket.onclose = (event) => {
    if (event.code === 1008) { say("signed out: load the page again", false); return; }
    const wait = pause * (0.75 + Math.random() / 2);
    say(`not live; tries again in ${Math.max(1, Math.round(wait / 1000))} s`, false);
    timer = setTimeout(open, wait);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  };
}

addEventListener("online", open);
open();
