// Live fragments. An element like
//   <section id="order" data-live-url="/orders/1/live">…</section>
// is replaced by each HTML fragment its event stream sends (event "message", the whole element, same
// id). When the stream fails, its data-poll-url (or the page itself) is asked every 3 seconds and the
// element with that id taken from the answer. A fragment with data-live-final ends it. Words in
// data-live-says are spoken when they change.
const PERIOD = 3000;

function take(current, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fresh = parsed.getElementById(current.id);
  if (!fresh) return current;
  if (fresh.outerHTML === current.outerHTML) return current;
  const focused = document.activeElement?.id;
  current.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus();
  document.dispatchEvent(new CustomEvent("fondaco:swapped", { detail: { id: fresh.id } }));
  const text = fresh.dataset.liveSays;
  if (text && text !== current.dataset.liveSays) {
    document.dispatchEvent(new CustomEvent("fondaco:said", { detail: { text } }));
  }
  return fresh;
}

function follow(start) {
  let element = start;
  let source;
  let timer;

  const done = () => element.dataset.liveFinal !== undefined || !element.isConnected;
  const stop = () => {
    source?.close();
    clearTimeout(timer);
  };
  const accept = (html) => {
    element = take(element, html);
    if (done()) stop();
  };
  const poll = async () => {
    try {
      const address = element.dataset.pollUrl || location.href;
      const answer = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.ok) accept(await answer.text());
    } catch {
      // The network is away for a moment: the next turn asks again.
    }
    if (!done()) timer = setTimeout(poll, PERIOD);
  };

  if (done()) return;
  if (!("EventSource" in window)) {
    timer = setTimeout(poll, PERIOD);
    return;
  }
  source = new EventSource(element.dataset.liveUrl);
  source.onmessage = (event) => accept(event.data);
  source.onerror = () => {
    source.close();
    if (!done()) timer = setTimeout(poll, PERIOD);
  };
  addEventListener("pagehide", stop);
}

document.querySelectorAll("[data-live-url][id]").forEach(follow);
