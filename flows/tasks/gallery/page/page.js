
"use strict";
(() => {
  const PAGE = 60;
  const part = (id) => document.getElementById(id);
  const facts = JSON.parse(part("facts").textContent);
  const list = part("clips"), words = part("words"), from = part("from"), to = part("to"), order = part("order");
  const known = new Map();
  const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const orders = {
    newest: (a, b) => b.at - a.at,
    oldest: (a, b) => a.at - b.at,
    name: (a, b) => a.name.localeCompare(b.name) || b.at - a.at,
    longest: (a, b) => b.seconds - a.seconds || b.at - a.at,
  };
  const near = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting) && !part("more").hidden) draw(); }, { rootMargin: "1500px" });
  let chosen = [], drawn = 0, playing = null, missing = 0, waiting = 0;

  // Every text of a clip is a stranger's: it becomes text of an element, never a part of the page.
  function element(tag, attributes, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  }

  function address(given, id, suffix) {
    if (given !== undefined) return /^https?:\/\//.test(given) ? given : null;
    return `clips/${id.slice(0, 2)}/${id}.${suffix}`;
  }

  function add(entries) {
    for (const entry of entries) {
      if (!/^[0-9a-f]{64}$/.test(entry.id) || known.has(entry.id)) continue;
      const at = new Date(entry.archived);
      const day = `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
      known.set(entry.id, {
        ...entry, at, day,
        when: dates.format(at),
        source: address(entry.clip, entry.id, "mp4"),
        still: entry.poster === true ? address(entry.picture, entry.id, "jpg") : null,
        text: `${entry.name}\n${entry.prompt}\n${day}\n${dates.format(at)}\n${entry.mode}`.toLowerCase(),
      });
    }
    later(choose);
  }

  function later(work) {
    clearTimeout(waiting);
    waiting = setTimeout(work, 60);
  }

  function choose() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    chosen = [...known.values()].filter((clip) =>
      (!from.value || clip.day >= from.value) && (!to.value || clip.day <= to.value) &&
      // A job id is found by its beginning only: any number is somewhere in some id.
      wanted.every((word) => clip.text.includes(word) || (word.length > 5 && clip.id.startsWith(word))));
    chosen.sort(orders[order.value]);
    stop(false);
    list.replaceChildren();
    drawn = 0;
    draw();
    tell();
  }

  function tell() {
    const all = known.size.toLocaleString();
    const some = chosen.length === known.size ? all : `${chosen.length.toLocaleString()} of ${all}`;
    part("count").textContent = `${some} ${known.size === 1 ? "clip" : "clips"}`;
    part("nothing").hidden = chosen.length > 0 || known.size === 0;
    const expired = facts.expires && Date.now() > Date.parse(facts.expires);
    const notices = [];
    if (expired) notices.push("The links of this page have ended. Ask for a new page.");
    else if (facts.expires) notices.push(`Until ${dates.format(new Date(facts.expires))} whoever has this page can open every clip in it. Hand it on with care.`);
    if (missing) notices.push("Some clips could not be loaded. Reload the page; if that does not help, the gallery has to be updated.");
    part("notice").textContent = notices.join(" ");
    part("notice").hidden = notices.length === 0;
  }

  function draw() {
    const next = chosen.slice(drawn, drawn + PAGE);
    list.append(...next.map(card));
    drawn += next.length;
    part("more").hidden = drawn >= chosen.length;
    // An observer tells of changes only, and on a tall screen the button is still near: ask anew.
    near.unobserve(part("more"));
    near.observe(part("more"));
  }

  function card(clip) {
    const stage = element("div", { class: "stage" }, poster(clip));
    const facts = [clip.mode, `${clip.width} × ${clip.height}`];
    if (clip.take > 1) facts.push(`take ${clip.take}`);
    const about = element("div", { class: "about" },
      element("h2", { dir: "auto", title: clip.name }, clip.name),
      element("p", { class: "meta" }, element("time", { datetime: clip.archived }, clip.when), ` · ${facts.join(" · ")}`),
      element("p", { class: "prompt", dir: "auto" }, clip.prompt));
    if (clip.source) about.append(element("a", { class: "open", href: clip.source, target: "_blank", rel: "noopener", "aria-label": `Open ${clip.name} by itself` }, "Open"));
    const item = element("li", { class: "card" }, stage, about);
    item.clip = clip;
    return item;
  }

  function poster(clip) {
    const button = element("button", { class: "play", type: "button", "aria-label": `Play ${clip.name}, ${length(clip.seconds)}` },
      element("span", { class: "length", "aria-hidden": "true" }, length(clip.seconds)));
    if (clip.still) {
      const image = element("img", { alt: "", loading: "lazy", decoding: "async", src: clip.still });
      image.addEventListener("error", () => image.remove());
      button.prepend(image);
    }
    return button;
  }

  function length(seconds) {
    const whole = Math.max(1, Math.round(seconds));
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  }

  function play(item) {
    stop(false);
    const clip = item.clip, stage = item.querySelector(".stage");
    const video = element("video", { controls: "", preload: "none", playsinline: "", width: clip.width, height: clip.height, "aria-label": clip.name });
    if (clip.still) video.poster = clip.still;
    video.addEventListener("error", () => fail(item));
    const close = element("button", { class: "stop", type: "button", "aria-label": `Stop ${clip.name}` }, "Stop");
    stage.replaceChildren(video, close);
    item.classList.add("playing");
    playing = item;
    if (clip.source) video.src = clip.source; else fail(item);
    video.focus();
    item.scrollIntoView({ block: "nearest" });
    video.play().catch(() => {});
  }

  function fail(item) {
    if (item !== playing || item.querySelector(".fault")) return;
    item.querySelector(".about").prepend(element("p", { class: "fault", role: "alert" }, "This clip cannot be played: it is gone, its link has ended, or this browser does not know its format."));
  }

  function stop(returns) {
    if (!playing) return;
    const item = playing, video = item.querySelector("video");
    playing = null;
    video.pause();
    video.removeAttribute("src");
    video.load();
    item.querySelector(".fault")?.remove();
    item.querySelector(".stage").replaceChildren(poster(item.clip));
    item.classList.remove("playing");
    if (returns) item.querySelector(".play").focus();
  }

  function move(key, item) {
    const cards = [...list.children], at = cards.indexOf(item);
    const columns = Math.max(1, getComputedStyle(list).gridTemplateColumns.split(" ").length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: cards.length - 1 - at };
    const next = at + steps[key];
    if (next >= cards.length - columns && drawn < chosen.length) draw();
    const target = list.children[next];
    if (!target) return;
    const goal = target.querySelector(".play, video");
    goal.focus({ preventScroll: true });
    target.scrollIntoView({ block: "nearest" });
  }

  list.addEventListener("click", (event) => {
    const item = event.target.closest(".card");
    if (event.target.closest(".play")) play(item);
    else if (event.target.closest(".stop")) stop(true);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select"), item = event.target.closest(".card");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && playing) { event.preventDefault(); stop(true); }
    else if (event.key === "Escape" && event.target === words) { words.value = ""; choose(); }
    else if (event.key === "/" && !typing) { event.preventDefault(); words.focus(); words.select(); }
    else if (event.key === "ArrowDown" && event.target === words && list.firstChild) { event.preventDefault(); list.firstChild.querySelector(".play").focus(); }
    else if (/^(Arrow\w+|Home|End)$/.test(event.key) && item && event.target.matches(".play")) { event.preventDefault(); move(event.key, item); }
  });
  const wide = matchMedia("(min-width: 40.01rem)"), unfold = () => { part("narrower").open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  part("search").addEventListener("submit", (event) => event.preventDefault());
  for (const field of [words, from, to, order]) field.addEventListener("input", () => later(choose));
  part("clear").addEventListener("click", () => { words.value = from.value = to.value = ""; choose(); words.focus(); });
  part("more").addEventListener("click", draw);

  part("updated").textContent = `Updated ${dates.format(new Date(facts.updated))}`;
  Object.defineProperty(window, "gallery", { value: Object.freeze({ add }) });
  add(facts.entries ?? []);
  for (const piece of [...(facts.pieces ?? [])].reverse()) {
    const script = document.createElement("script");
    script.src = piece;
    script.addEventListener("error", () => { missing += 1; later(choose); });
    document.head.append(script);
  }
})();
