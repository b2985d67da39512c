// The command palette: Ctrl+K or ⌘K, type, arrows, Enter.
// GET /palette?q=… answers {"items": [{"label", "hint", "href"}]}.
const dialog = document.getElementById("palette");
if (dialog) {
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("[role=listbox]");
  const status = dialog.querySelector("[role=status]");
  let wanted = 0;
  let timer;

  const options = () => [...list.children];
  const selected = () => list.querySelector('[aria-selected="true"]');

  const select = (option) => {
    for (const other of options()) other.setAttribute("aria-selected", String(other === option));
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };

  const show = (items) => {
    list.replaceChildren(
      ...items.map((item, index) => {
        const option = document.createElement("li");
        option.id = `palette-${index}`;
        option.setAttribute("role", "option");
        option.dataset.href = item.href;
        option.append(item.label);
        if (item.hint) {
          const hint = document.createElement("span");
          hint.textContent = item.hint;
          option.append(hint);
        }
        return option;
      }),
    );
    input.setAttribute("aria-expanded", String(items.length > 0));
    status.textContent = items.length ? `${items.length} found` : "Nothing found";
    select(options()[0]);
  };

  const ask = async () => {
    const turn = ++wanted;
    try {
      const answer = await fetch(`${dialog.dataset.url}?q=${encodeURIComponent(input.value)}`, {
        headers: { Accept: "application/json" },
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const { items } = await answer.json();
      if (turn === wanted) show(items);
    } catch {
      if (turn === wanted) status.textContent = "The search did not answer. Try again.";
    }
  };

  const open = () => {
    if (dialog.open) return;
    dialog.showModal();
    input.select();
    ask();
  };
  const go = (option, newTab) => {
    if (!option) return;
    if (newTab) window.open(option.dataset.href, "_blank", "noopener");
    else location.assign(option.dataset.href);
  };

  document.addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette-open]")) {
      event.preventDefault();
      open();
    }
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, 120);
  });
  input.addEventListener("keydown", (event) => {
    const all = options();
    const at = all.indexOf(selected());
    if (event.key === "ArrowDown") select(all[(at + 1) % all.length]);
    else if (event.key === "ArrowUp") select(all[(at - 1 + all.length) % all.length]);
    else if (event.key === "Enter") go(selected(), event.metaKey || event.ctrlKey);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => go(event.target.closest("[role=option]"), false));
  list.addEventListener("pointermove", (event) => {
    const option = event.target.closest("[role=option]");
    if (option && option !== selected()) select(option);
  });
}
