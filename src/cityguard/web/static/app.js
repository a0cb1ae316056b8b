// Keyboard triage and small comforts. Every page is complete without this file; one table binds the keys and prints the help.

const zh = !document.documentElement.lang.startsWith("en");
const $ = (selector, from = document) => from.querySelector(selector);
const rows = () => [...document.querySelectorAll("#rows [data-row]")];
let cursor = -1;
let pending = null; // the first key of a two-key shortcut

const KEYS = [
  ["j", "下一行", "next row", () => move(1)],
  ["k", "上一行", "previous row", () => move(-1)],
  ["Enter", "打开", "open", open],
  ["x", "选中 / 取消", "pick or unpick", pick],
  ["e", "确认", "acknowledge", () => act("acknowledge")],
  ["a", "指派给我", "assign to me", () => act("assign")],
  ["s", "升级", "escalate", () => act("escalate")],
  ["f", "关闭：误报", "close as false", () => act("close-false")],
  ["b", "关闭：良性", "close as benign", () => act("close-benign")],
  ["t", "关闭：真实", "close as true", () => act("close-true")],
  ["o", "重新打开告警", "reopen the alert", () => act("reopen")],
  ["n", "写处置说明", "write the note", () => focus("#inbox [name=note], #triage [name=note]")],
  ["z", "撤销上一步", "undo", () => $("#undo")?.requestSubmit()],
  ["y", "复制链接", "copy the link", () => navigator.clipboard?.writeText(location.href)],
  ["/", "查询", "search", () => focus(".filter [name=q], #search")],
  ["?", "显示本表", "this sheet", help],
  ["Escape", "取消选择", "clear", clear],
];
const GO = [...document.querySelectorAll("[data-go]")].map((a) => [a.dataset.go, a.textContent.trim(), a]);

function move(step) {
  const all = rows();
  if (!all.length) return;
  all[cursor]?.classList.remove("on");
  cursor = Math.max(0, Math.min(all.length - 1, cursor + step));
  all[cursor].classList.add("on");
  all[cursor].scrollIntoView({ block: "nearest" });
}

function open() {
  const link = $("[data-open]", rows()[cursor] ?? document.createElement("i"));
  if (link) location.assign(link.href);
}

function pick() {
  const box = $("[name=pick]", rows()[cursor] ?? document.createElement("i"));
  if (!box) return;
  box.checked = !box.checked;
  count();
}

function act(name) {
  const form = $("#inbox") ?? $("#triage");
  const button = form && $(`button[value="${name}"]`, form);
  if (!button || button.disabled) return;
  const picked = form.id === "triage" || $("[name=pick]:checked", form);
  if (!picked) pick(); // nothing is picked: the row under the cursor is meant
  if (form.id === "inbox" && !$("[name=pick]:checked", form)) return;
  sessionStorage.setItem("cursor", `${location.pathname} ${cursor}`);
  form.requestSubmit(button);
}

function focus(selector) {
  const field = $(selector);
  field?.focus();
  field?.select?.();
}

function clear() {
  document.activeElement?.blur();
  for (const box of document.querySelectorAll("[name=pick]:checked")) box.checked = false;
  count();
}

function count() {
  const label = $("#picked");
  if (!label) return;
  let alerts = 0;
  for (const box of document.querySelectorAll("[name=pick]")) {
    box.closest("tr").classList.toggle("chosen", box.checked);
    if (box.checked) alerts += Number(box.dataset.n);
  }
  label.textContent = alerts ? `${label.dataset.some} ${alerts}` : label.dataset.none;
  for (const button of document.querySelectorAll(".bar button")) button.disabled = !alerts && cursor < 0;
}

function help() {
  const sheet = $("#help");
  const list = $("dl", sheet);
  const lines = KEYS.map(([key, inZh, inEn]) => [key, zh ? inZh : inEn]).concat(GO.map(([key, text]) => [`g ${key}`, text]));
  list.replaceChildren(...lines.flatMap(([key, text]) => [element("dt", key), element("dd", text)]));
  sheet.showModal();
}

function element(name, text) {
  const node = document.createElement(name);
  if (name === "dt") node.append(Object.assign(document.createElement("kbd"), { textContent: text }));
  else node.textContent = text;
  return node;
}

function typing(target) {
  return target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) && target.type !== "checkbox";
}

addEventListener("keydown", (event) => {
  // While an input method composes Chinese, keys are letters of a word and never commands.
  if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("dialog[open]")) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (pending === "g") {
    pending = null;
    const found = GO.find(([key]) => key === event.key);
    if (found) found[2].click();
    return;
  }
  if (event.key === "g") {
    pending = "g";
    setTimeout(() => (pending = null), 1200);
    return;
  }
  const found = KEYS.find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found[3]();
  if (["j", "k", "x"].includes(event.key)) count();
});

// A grid of links: arrow keys go to the next filled cell of the row, or the nearest of the next row.
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
addEventListener("keydown", (event) => {
  const step = ARROWS[event.key];
  const cell = event.target.closest?.("[data-grid] td");
  if (!step || !cell || event.ctrlKey || event.metaKey || event.altKey) return;
  const lines = [...cell.closest("table").tBodies[0].rows];
  let row = lines.indexOf(cell.parentElement);
  let column = cell.cellIndex;
  const filled = (line) => [...line.cells].filter((one) => $("[data-cell]", one));
  let to = null;
  if (step[0]) {
    while (!to && lines[(row += step[0])]) {
      to = filled(lines[row]).sort((a, b) => Math.abs(a.cellIndex - column) - Math.abs(b.cellIndex - column))[0];
    }
  } else {
    const same = filled(cell.parentElement).filter((one) => (one.cellIndex - column) * step[1] > 0);
    to = step[1] > 0 ? same[0] : same.at(-1);
  }
  if (!to) return;
  event.preventDefault();
  $("[data-cell]", to).focus();
});

document.addEventListener("change", (event) => event.target.name === "pick" && count());
document.addEventListener("submit", (event) => {
  // A double Enter must not send twice.
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
  setTimeout(() => delete event.target.dataset.sent, 4000);
});

const [where, at] = (sessionStorage.getItem("cursor") ?? " ").split(" ");
if (where === location.pathname && rows().length) {
  cursor = Math.min(Number(at), rows().length) - 1;
  move(1);
  sessionStorage.removeItem("cursor");
}
const button = $("#help-button");
if (button) {
  button.hidden = false;
  button.addEventListener("click", help);
}
count();
