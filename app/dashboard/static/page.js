// What every page does: ages that grow, light and dark, keys, questions before what cannot be undone.

const MINUTE = 60, HOUR = 3600, DAY = 86400;

// As `words.span` on the server says it, with seconds where somebody looks.
function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h ${String(Math.floor(whole % HOUR / MINUTE)).padStart(2, "0")} min`;
  return `${Math.floor(whole / DAY)} d ${Math.floor(whole % DAY / HOUR)} h`;
}

export function showAges(within = document) {
  for (const time of within.querySelectorAll("time[data-age]")) {
    const said = span((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== said) time.textContent = said;
  }
}

const root = document.documentElement;

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `levare_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
}

const help = document.getElementById("help");
let awaitsPage = false;

function go(key) {
  const link = document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
  if (link) location.assign(link.href);
}

// The links that j and k walk along: one for each row or tile.
function walk(by) {
  const stops = [...document.querySelectorAll("main tbody tr, main .tile, main .alerts li")]
    .map((item) => item.querySelector("a[href^='/jobs/'], a")).filter(Boolean);
  const at = stops.indexOf(document.activeElement);
  const next = stops[at < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(Math.max(at + by, 0), stops.length - 1)];
  next?.focus();
}

const keys = {
  "?": () => help.open ? help.close() : help.showModal(),
  "/": () => document.querySelector("[data-search]")?.focus(),
  t: switchTheme,
  j: () => walk(1),
  k: () => walk(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (awaitsPage) {
    awaitsPage = false;
    go(event.key);
  } else if (event.key === "g") {
    awaitsPage = true;
    setTimeout(() => { awaitsPage = false; }, 1500);
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.confirm && !confirm(button.dataset.confirm)) event.preventDefault();
  if (button?.matches("[data-theme-toggle]")) switchTheme();
  if (button?.matches("[data-help]")) help.showModal();
});

for (const picture of document.querySelectorAll(".timeline")) {
  const now = picture.querySelector(".now")?.getBoundingClientRect().left ?? 0;
  picture.scrollLeft += now - picture.getBoundingClientRect().left - picture.clientWidth * 0.6;
}
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
for (const button of document.querySelectorAll("[data-theme-toggle], [data-help]")) button.hidden = false;
showAges();
setInterval(() => { if (!document.hidden) showAges(); }, 1000);
document.addEventListener("visibilitychange", () => showAges());
