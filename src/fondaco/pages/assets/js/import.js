// Upload with a progress bar for forms marked data-upload. Without scripts the form posts as usual.
// The answer's final URL (after redirects) is opened; an HTML answer with status 4xx replaces the page.
for (const form of document.querySelectorAll("form[data-upload]")) {
  const box = form.querySelector("[data-upload-progress]");
  const bar = box?.querySelector("progress");
  const words = box?.querySelector("[data-upload-words]");
  const file = form.querySelector("input[type=file]");
  const drop = form.querySelector(".drop");

  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !bar) return;
    event.preventDefault();
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.upload.onprogress = (step) => {
      if (!step.lengthComputable) return;
      const percent = Math.floor((step.loaded * 100) / step.total);
      bar.value = percent;
      words.textContent = percent < 100 ? `Sending: ${percent} %` : "Sent. Checking every line…";
    };
    request.onload = () => {
      if (request.status < 400 && request.responseURL) {
        location.assign(request.responseURL);
        return;
      }
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      document.title = page.title;
      document.body.replaceWith(page.body);
      scrollTo(0, 0);
    };
    request.onerror = () => {
      words.textContent = "The connection broke. Nothing was imported; send it again.";
      delete form.dataset.sent;
      form.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
    };
    box.hidden = false;
    bar.value = 0;
    words.textContent = "Sending…";
    request.send(new FormData(form, event.submitter));
  });

  if (drop && file) {
    for (const type of ["dragenter", "dragover"]) {
      drop.addEventListener(type, (event) => {
        event.preventDefault();
        drop.classList.add("is-over");
      });
    }
    for (const type of ["dragleave", "drop"]) drop.addEventListener(type, () => drop.classList.remove("is-over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      file.files = event.dataTransfer.files;
      file.dispatchEvent(new Event("change", { bubbles: true }));
    });
  }
}
