// Small conveniences. Every page works without them; each part minds its own data attribute.
const root = document.documentElement;
root.classList.add("js");

const on = (type, selector, run) =>
  document.addEventListener(type, (event) => {
    const target = event.target instanceof Element ? event.target.closest(selector) : null;
    if (target) run(target, event);
  });

// Say something without taking the focus: a toast that screen readers speak too.
function toast(text) {
  const box = document.querySelector("[data-toasts]");
  if (!box) return;
  const line = document.createElement("div");
  line.className = "toast";
  line.textContent = text;
  box.append(line);
  setTimeout(() => line.remove(), 5000);
}

// What an answer without a page says (htmx turns its HX-Trigger header into this event).
document.addEventListener("fondaco:said", (event) => toast(event.detail.text));

// Theme: system → dark → light, kept in a cookie so that the server draws it at once next time.
const themes = { auto: "Theme: as your system", dark: "Theme: dark", light: "Theme: light" };
on("click", "[data-theme-toggle]", () => {
  const names = Object.keys(themes);
  const next = names[(names.indexOf(root.dataset.theme || "auto") + 1) % names.length];
  root.dataset.theme = next;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `theme=${next}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  toast(themes[next]);
});

// Copy: the text of the element named by data-copy, without reading it anywhere else.
on("click", "[data-copy]", async (button) => {
  const source = document.getElementById(button.dataset.copy);
  if (!source) return;
  const text = "value" in source ? source.value : source.textContent.trim();
  try {
    await navigator.clipboard.writeText(text);
    toast(button.dataset.copied || "Copied");
  } catch {
    getSelection().selectAllChildren(source);
    toast("Selected. Press Ctrl+C to copy.");
  }
});

// Print: the browser's own dialog.
on("click", "[data-print]", () => print());

// Dialogs: a link to a confirmation page opens the same question in place.
on("click", "[data-dialog]", (opener, event) => {
  const dialog = document.getElementById(opener.dataset.dialog);
  if (!dialog || typeof dialog.showModal !== "function") return;
  event.preventDefault();
  dialog.showModal();
});
on("click", "[data-dialog-close]", (button, event) => {
  event.preventDefault();
  button.closest("dialog").close();
});
on("click", "dialog", (dialog, event) => {
  if (event.target === dialog) dialog.close();
});

// Menus close on Escape and on a click elsewhere.
const closeMenus = (except) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
};
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector("details.menu[open]");
  if (!open) return;
  open.open = false;
  open.querySelector("summary").focus();
});

// A select that acts when chosen; its button is for readers without scripts.
on("change", "[data-autosubmit]", (field) => field.form.requestSubmit());

// Counter under a text area.
const count = (field) => {
  const out = document.getElementById(field.dataset.counter);
  if (out) out.textContent = `${field.value.length} of ${field.maxLength} characters`;
};
on("input", "[data-counter]", count);

// A form with changes asks before the page is left.
let changed = false;
on("input", "form[data-guard]", () => (changed = true));
on("submit", "form", () => (changed = false));
addEventListener("beforeunload", (event) => {
  if (changed) event.preventDefault();
});

// One click, one submission: the button says that it is busy.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.dataset.again !== undefined) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  const button = event.submitter;
  if (button) button.setAttribute("aria-busy", "true");
});
// Coming back with the browser's arrow finds the forms ready again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  }
});

// Times near now, in words, kept fresh.
const words = new Intl.RelativeTimeFormat(root.lang || "en", { numeric: "auto" });
const steps = [[60, "second"], [3600, "minute"], [86400, "hour"], [604800, "day"]];
const size = { second: 1, minute: 60, hour: 3600, day: 86400 };
function freshen() {
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const seconds = (new Date(element.dateTime) - Date.now()) / 1000;
    const step = steps.find(([limit]) => Math.abs(seconds) < limit);
    if (!step) continue;
    const text = step[1] === "second" && Math.abs(seconds) < 45
      ? "just now"
      : words.format(Math.round(seconds / size[step[1]]), step[1]);
    if (element.textContent !== text) element.textContent = text;
  }
}
setInterval(freshen, 30000);

function ready() {
  document.querySelectorAll("[data-counter]").forEach(count);
  freshen();
}
ready();
document.addEventListener("htmx:afterSettle", ready);
document.addEventListener("fondaco:swapped", ready);
