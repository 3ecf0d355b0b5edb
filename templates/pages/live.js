// Puts what the server sends in the place of what is shown; it is HTML from the same templates as the page.
"use strict";
const shown = document.getElementById("live");
const contact = document.getElementById("contact");
let source = null;
let waiting = null;

function say(how, words) {
  contact.className = how;
  contact.textContent = words;
}

function show(html) {
  // what somebody is about to copy stays where it is
  if (!getSelection().isCollapsed && shown.contains(getSelection().anchorNode)) {
    waiting = html;
    return;
  }
  waiting = null;
  const across = [...shown.querySelectorAll(".scroll")].map(one => one.scrollLeft);
  shown.innerHTML = html;
  shown.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = across[index] || 0; });
}

function open() {
  source = new EventSource(shown.dataset.live);
  source.addEventListener("open", () => say("live", "live"));
  source.addEventListener("look", event => { say("live", "live"); show(event.data); });
  source.addEventListener("trouble", event => say("lost", event.data));
  source.addEventListener("error", () => say("lost", "no answer from flashsim-prod serve; trying again"));
}

document.addEventListener("selectionchange", () => {
  if (waiting !== null && getSelection().isCollapsed) show(waiting);
});
// a page that nobody sees asks for nothing, and leaves the browser's few connections to others
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source.close();
    say("", "paused");
  } else if (source.readyState === EventSource.CLOSED) {
    open();
  }
});
// a browser drops a source for good where the answer is an error
setInterval(() => {
  if (!document.hidden && source.readyState === EventSource.CLOSED) open();
}, 5000);
open();
