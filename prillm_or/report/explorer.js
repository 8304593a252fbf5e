// Moves what a page shows of a market as the leader's price moves. All of it is linear between the prices in the data,
// so nothing is solved here. Names are set as text, never as markup.
"use strict";
(() => {
  const NEAR = 0.01, SAME = 1e-9, MOST_MAXIMA = 5, MOST_CHANGES = 3;
  const LINE = 16, GAP = 3, NODE = 10, VOLUME = 300, FIGURES = 46, ROOMY = 480;

  const figure = (value, digits = 4) => String(Number(value.toPrecision(digits)));
  const percent = (part, whole) => (whole > 0 ? `${figure((100 * part) / whole, 3)} %` : "-");
  const signed = (value, least) => (Math.abs(value) <= least ? "0" : `${value > 0 ? "+" : "-"}${figure(Math.abs(value), 3)}`);
  const clean = (value) => Number(value.toPrecision(12));
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  /** The round number, 1, 2 or 5 times a power of ten, just below a length. */
  function round(length) {
    const power = 10 ** Math.floor(Math.log10(length));
    return [5, 2, 1].map((times) => times * power).find((size) => size <= length * (1 + SAME)) || power;
  }

  function ticks(low, high, most) {
    if (!(high > low)) return [low];
    let step = round((high - low) / most);
    while ((high - low) / step > most) step = round(step * 2.5);
    const first = Math.ceil(low / step - SAME), found = [];
    for (let k = first; k * step <= high + SAME * step; k += 1) found.push(clean(k * step));
    return found;
  }

  /** A market along one decision, at each value of it; the leader's providers come first. */
  class Market {
    constructor(data) {
      // Of a price list: the volume sold is not the load, and the rest of the list earns, too.
      Object.assign(this, { own: 1, sold: data.load, rest: data.price.map(() => 0) }, data);
      this.low = this.price[0];
      this.high = this.price[this.price.length - 1];
      this.step = this.high > this.low ? round((this.high - this.low) / 400) : 0;
      this.demand = sum(this.users.map((user) => user.demand));
      this.bestState = this.at(this.best);
      this.largest = Math.max(...this.price.map((price) => Math.max(...this.at(price).loads)));
      this.changes = this.allChanges();
    }

    /** The interval a price lies in, and how far into it. */
    where(price) {
      let k = 0, above = this.price.length - 1;
      while (above - k > 1) {
        const middle = (k + above) >> 1;
        if (this.price[middle] <= price) k = middle; else above = middle;
      }
      if (price >= this.price[above]) return [above, 0];
      return [k, (price - this.price[k]) / (this.price[above] - this.price[k])];
    }

    /** Price, load, profit, flows by user and provider, and loads of all providers. */
    at(price) {
      const [k, part] = this.where(price);
      const between = (values) => (part > 0 ? values[k] + (values[k + 1] - values[k]) * part : values[k]);
      const load = between(this.load);
      const flow = this.users.map(() => this.providers.map(() => 0));
      for (const [i, j, shares] of this.flows) flow[i][j] = between(shares) * this.users[i].demand;
      const loads = this.providers.map((_, j) => sum(flow.map((row) => row[j])));
      if (this.own === 1) loads[0] = load;
      const profit = (price - this.unitCost) * between(this.sold) + between(this.rest);
      return { price, load, profit, flow, loads };
    }

    /** What a user routes to the leader. */
    toLeader(row) {
      return sum(row.slice(0, this.own));
    }

    /** The values of all decisions at one of this one, for a heading. */
    told(price) {
      if (!this.others) return figure(price);
      return this.others.map(([name, value], k) => `${name} ${figure(k === this.decision ? price : value)}`).join(", ");
    }

    /** What a provider asks while the leader asks a price: a number, or one for each component. */
    asked(provider, price) {
      if (!Array.isArray(provider.price)) return provider.price === null ? "-" : figure(provider.price);
      return provider.price.map(([name, fixed, slope]) => `${name} ${figure(fixed + slope * price)}`.trim()).join(", ");
    }

    /** What each user has to do with the leader at a price, in the explanation's words. */
    states(now) {
      const dearer = this.at(Math.min((1 + NEAR) * now.price, this.high));
      const cheaper = this.at(Math.max((1 - NEAR) * now.price, this.low));
      return this.users.map((user, i) => {
        if (!user.named) return "-";
        if (!(this.toLeader(now.flow[i]) > 0)) return this.toLeader(cheaper.flow[i]) > 0 ? "joining" : "away";
        if (!(this.toLeader(dearer.flow[i]) > 0)) return "leaving";
        return now.flow[i].some((flow, j) => j >= this.own && flow > 0) ? "shared" : "captive";
      });
    }

    /** Who begins and who stops using whom as the price rises, by price. */
    allChanges() {
      const found = new Map();
      for (const [i, j, shares] of this.flows) {
        if (!this.users[i].named || !this.providers[j].named) continue;
        for (let k = 1; k + 1 < shares.length; k += 1) {
          const begins = shares[k] === 0 && shares[k + 1] > 0, stops = shares[k - 1] > 0 && shares[k] === 0;
          if (begins === stops) continue;
          if (!found.has(k)) found.set(k, []);
          found.get(k).push([i, j, begins]);
        }
      }
      return [...found.keys()].sort((a, b) => a - b).map((k) => ({ price: this.price[k], pairs: found.get(k) }));
    }

    nextChanges(price) {
      const same = SAME * this.high;
      const above = this.changes.find((change) => change.price > price + same);
      const below = [...this.changes].reverse().find((change) => change.price < price - same);
      const told = (change, rising) => {
        const parts = change.pairs.slice(0, MOST_CHANGES).map(([i, j, begins]) =>
          `${this.users[i].name} ${begins === rising ? "begins" : "stops"} using ${this.providers[j].name}`);
        const more = change.pairs.length - parts.length;
        return `at ${figure(change.price)} ${parts.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
      };
      const next = [...this.users, ...this.providers].every((one) => one.named) ? "Next" : "Next of those named,";
      return [
        above ? `${next} as ${this.moves || `the ${this.what}`} rises: ${told(above, true)}.` : "",
        below ? `${next} as it falls: ${told(below, false)}.` : "",
      ].filter(Boolean).join(" ");
    }
  }

  function make(parent, name, attributes = {}, text = null) {
    const inPicture = parent.namespaceURI.endsWith("svg") || name === "svg";
    const made = inPicture ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  function set(element, attributes) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  }

  /** Write a name as far as it fits; the whole of it is in its title. */
  function fitted(text, name, width) {
    text.textContent = name;
    const letters = Array.from(name);
    while (letters.length > 1 && text.getComputedTextLength() > width) {
      letters.splice(Math.max(1, Math.min(letters.length - 1, Math.floor((letters.length * width) / text.getComputedTextLength()))));
      text.textContent = `${letters.join("")}…`;
    }
    make(text, "title", {}, name);
  }

  /** Profit and load over price, with the price now. */
  class Curves {
    constructor(holder, market, go, id) {
      Object.assign(this, { holder, market, go, id, height: 418 });
    }

    draw(width) {
      const { market } = this;
      const left = 52, right = 12, height = this.height;
      this.holder.replaceChildren();
      this.svg = make(this.holder, "svg", { viewBox: `0 0 ${width} ${height}`, height });
      const span = market.high - market.low || 1;
      this.x = (price) => left + ((price - market.low) / span) * (width - left - right);
      const profits = market.price.map((price, k) => (price - market.unitCost) * market.sold[k] + market.rest[k]);
      const top = Math.max(0, ...profits, market.bestState.profit);
      const bottom = Math.min(0, Math.max(Math.min(...profits), top > 0 ? -0.25 * top : -Infinity));
      this.profitY = this.axes(14, 250, bottom, top, width, left, right, `profit, ${market.units.money}`, 5);
      this.loadY = this.axes(290, 84, 0, Math.max(...market.load), width, left, right, `load, ${market.units.volume}`, 2);
      this.marks(width, left, right);
      this.bendings();
      this.curve(profits, bottom);
      this.thread = make(this.svg, "line", { class: "thread", y1: 14, y2: 374 });
      this.profitDot = make(this.svg, "circle", { class: "now", r: 7 });
      this.loadDot = make(this.svg, "circle", { class: "now", r: 5 });
      this.listen(left, right, width);
    }

    axes(from, height, low, high, width, left, right, title, most) {
      const range = high - low || 1;
      const y = (value) => from + height - ((value - low) / range) * height;
      for (const value of ticks(low, high, most)) {
        make(this.svg, "line", { class: "rule", x1: left, x2: width - right, y1: y(value), y2: y(value) });
        make(this.svg, "text", { class: "quiet", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value));
      }
      make(this.svg, "line", { class: "axis", x1: left, x2: width - right, y1: y(Math.max(low, 0)), y2: y(Math.max(low, 0)) });
      make(this.svg, "text", { class: "quiet", x: left, y: from - 4 }, title);
      return y;
    }

    marks(width, left, right) {
      const { market } = this;
      const title = make(this.svg, "text", { class: "quiet", x: (left + width - right) / 2, y: 413, "text-anchor": "middle" });
      fitted(title, market.label, width - left - right);
      for (const price of ticks(market.low, market.high, width > 480 ? 6 : 4)) {
        make(this.svg, "text", { class: "quiet", x: this.x(price), y: 396, "text-anchor": "middle" }, figure(price));
      }
      if (market.today !== null) {
        const x = this.x(market.today);
        make(make(this.svg, "line", { class: "today", x1: x, x2: x, y1: 14, y2: 374 }), "title", {}, `${market.what} today: ${figure(market.today)}`);
      }
    }

    bendings() {
      const path = this.market.bends.map((price) => `M${this.x(price)} 374v7`).join("");
      make(this.svg, "path", { class: "bend", d: path });
    }

    /** On each interval the profit is a parabola, which a quadratic Bezier curve is too. */
    curve(profits, bottom) {
      const { market } = this;
      const clip = make(make(this.svg, "clipPath", { id: `${this.id}-clip` }), "rect", {});
      set(clip, { x: 0, y: 8, width: 10000, height: this.profitY(bottom) - 8 });
      let path = `M${this.x(market.low)} ${this.profitY(profits[0])}`;
      let loads = `M${this.x(market.low)} ${this.loadY(market.load[0])}`;
      for (let k = 0; k + 1 < market.price.length; k += 1) {
        const length = market.price[k + 1] - market.price[k];
        const sold = market.sold[k + 1] - market.sold[k], rest = market.rest[k + 1] - market.rest[k];
        const bent = profits[k] + (market.sold[k] * length + (market.price[k] - market.unitCost) * sold + rest) / 2;
        path += `Q${this.x(market.price[k] + length / 2)} ${this.profitY(bent)} ${this.x(market.price[k + 1])} ${this.profitY(profits[k + 1])}`;
        loads += `L${this.x(market.price[k + 1])} ${this.loadY(market.load[k + 1])}`;
      }
      make(this.svg, "path", { class: "curve", d: path, "clip-path": `url(#${this.id}-clip)` });
      make(this.svg, "path", { class: "curve", d: loads });
      for (const price of market.maxima) {
        const x = this.x(price), y = this.profitY(market.at(price).profit);
        const mark = make(this.svg, "path", { class: "maximum", d: `M${x} ${y - 8}l8 8l-8 8l-8 -8z` });
        make(mark, "title", {}, `local maximum: ${figure(price)}`);
      }
    }

    listen(left, right, width) {
      const { market } = this;
      const follow = (event) => {
        const box = this.svg.getBoundingClientRect();
        const part = ((event.clientX - box.left) * (width / box.width) - left) / (width - left - right);
        this.go(snapped(market, market.low + part * (market.high - market.low)));
      };
      this.svg.addEventListener("pointerdown", (event) => {
        this.svg.setPointerCapture(event.pointerId);
        follow(event);
      });
      this.svg.addEventListener("pointermove", (event) => {
        if (event.buttons) follow(event);
      });
    }

    show(now) {
      if (!this.svg) return;
      const x = this.x(now.price), box = [14, 374];
      const clipped = Math.min(box[1], this.profitY(now.profit));
      set(this.thread, { x1: x, x2: x });
      set(this.profitDot, { cx: x, cy: clipped });
      set(this.loadDot, { cx: x, cy: this.loadY(now.load) });
      this.holder.setAttribute("aria-label", `Profit and load over ${this.market.what}. At ${figure(now.price)}: profit ${figure(now.profit)}, load ${figure(now.load)}.`);
    }
  }

  /** Flows as bands from users on the left to providers on the right; heights are volumes. */
  class Flows {
    constructor(holder, market) {
      Object.assign(this, { holder, market });
    }

    draw(width) {
      const { market } = this;
      this.scale = VOLUME / market.demand;
      const users = this.stack(market.users.map((user) => user.demand));
      const tallest = market.price.map((price) => this.stack(market.at(price).loads).height);
      const height = Math.max(users.height, ...tallest);
      this.holder.replaceChildren();
      this.svg = make(this.holder, "svg", { viewBox: `0 0 ${width} ${height}`, height });
      this.height = height;
      this.figures = width >= ROOMY ? FIGURES : 0;
      this.labels = [market.users, market.providers].map((all) => this.longest(all.map((one) => one.name), 0.28 * width));
      this.sides = [this.labels[0] + 6, width - this.labels[1] - this.figures - 6 - NODE];
      this.bands = market.flows.map(([i, j]) => {
        const band = make(this.svg, "path", { class: j < market.own ? "band own" : "band" });
        make(band, "title");
        return { band, i, j };
      });
      this.userNodes = market.users.map((user, i) => this.node(user.name, "user", i, width));
      this.providerNodes = market.providers.map((provider, j) => this.node(provider.name, j < market.own ? "own" : "", j, width));
      this.users = this.placed(users);
      this.userNodes.forEach((node, i) => this.put(node, this.users[i]));
      this.listen();
    }

    /** Width of the longest name, up to a limit; names are set in bold where they are the leader's. */
    longest(names, most) {
      const text = make(this.svg, "text", { class: "own" });
      const widths = names.map((name) => {
        text.textContent = name;
        return text.getComputedTextLength();
      });
      text.remove();
      return Math.min(Math.ceil(Math.max(...widths)) + 1, most);
    }

    /** Tops and heights one below the other, each with room for its name. */
    stack(volumes) {
      let height = 0;
      const slots = volumes.map((volume) => {
        const tall = volume * this.scale, room = Math.max(tall, LINE), top = height + (room - tall) / 2;
        height += room + GAP;
        return { top, tall, middle: height - GAP - room / 2 };
      });
      return { slots, height };
    }

    placed(stack) {
      const shift = (this.height - stack.height) / 2;
      return stack.slots.map((slot) => ({ ...slot, top: slot.top + shift, middle: slot.middle + shift }));
    }

    node(name, kind, place, width) {
      const onLeft = kind === "user";
      const node = { rect: make(this.svg, "rect", { class: `node ${kind}`, x: this.sides[onLeft ? 0 : 1], width: NODE }) };
      const room = this.labels[onLeft ? 0 : 1], x = onLeft ? room : width - room - this.figures;
      node.name = make(this.svg, "text", { class: kind, x, "text-anchor": onLeft ? "end" : "start" });
      fitted(node.name, name, room);
      if (!onLeft && this.figures) node.value = make(this.svg, "text", { class: "quiet", x: width, "text-anchor": "end" });
      for (const part of [node.rect, node.name]) part.dataset[onLeft ? "user" : "provider"] = place;
      return node;
    }

    put(node, slot) {
      set(node.rect, { y: slot.top, height: Math.max(slot.tall, 0.75) });
      node.name.setAttribute("y", slot.middle + 4);
      if (node.value) node.value.setAttribute("y", slot.middle + 4);
    }

    listen() {
      const light = (event) => {
        const { user, provider } = event.target.dataset || {};
        this.svg.classList.toggle("dim", user !== undefined || provider !== undefined);
        for (const { band, i, j } of this.bands) band.classList.toggle("lit", String(i) === user || String(j) === provider);
      };
      this.svg.addEventListener("pointerover", light);
      this.svg.addEventListener("pointerleave", light);
    }

    show(now) {
      if (!this.svg) return;
      const { market } = this;
      const providers = this.placed(this.stack(now.loads));
      this.providerNodes.forEach((node, j) => {
        this.put(node, providers[j]);
        if (node.value) node.value.textContent = figure(now.loads[j], 3);
      });
      const [from, to] = [this.sides[0] + NODE, this.sides[1]], middle = (from + to) / 2;
      const left = this.users.map((slot) => slot.top), right = providers.map((slot) => slot.top);
      for (const { band, i, j } of this.bands) {
        const tall = now.flow[i][j] * this.scale, a = left[i], b = right[j];
        left[i] += tall;
        right[j] += tall;
        band.setAttribute("d", tall > 0
          ? `M${from} ${a}C${middle} ${a} ${middle} ${b} ${to} ${b}v${tall}C${middle} ${b + tall} ${middle} ${a + tall} ${from} ${a + tall}z` : "");
        band.firstChild.textContent = `${market.users[i].name} to ${market.providers[j].name}: ${figure(now.flow[i][j])}, ${percent(now.flow[i][j], market.users[i].demand)} of its demand`;
      }
      this.holder.setAttribute("aria-label", `Flows from users to providers. At ${market.told(now.price)} the leader has ${percent(now.load, market.demand)} of all demand; the tables below hold every figure.`);
    }
  }

  /** A table whose cells move; columns of text, and those that a small screen can do without. */
  class Table {
    constructor(table, headings, names, texts, minor) {
      const kind = (k) => [texts.includes(k) ? "text" : "", minor.includes(k) ? "minor" : ""].join(" ").trim();
      const head = make(make(table, "thead"), "tr"), body = make(table, "tbody");
      headings.forEach((heading, k) => make(head, "th", { scope: "col", class: kind(k) }, heading));
      this.rows = names.map((name) => {
        const row = make(body, "tr");
        return headings.map((heading, k) =>
          make(row, "td", { "data-label": heading, class: kind(k) }, k === 0 ? name : ""));
      });
    }

    show(place, texts) {
      texts.forEach((text, k) => { this.rows[place][k + 1].textContent = text; });
    }
  }

  /** A cell with a bar below its figure. */
  function bar(cell, part) {
    cell.classList.add("bar");
    cell.style.setProperty("--part", `${100 * Math.min(Math.max(part, 0), 1)}%`);
  }

  /** A price as a hand means it: in small round steps. */
  function snapped(market, price) {
    if (!(price > market.low)) return market.low;
    if (price >= market.high) return market.high;
    const step = market.step / 10;
    return Math.min(Math.max(clean(Math.round(price / step) * step), market.low), market.high);
  }

  /** One market's part of the page: along one decision, or along each of several, the others held. */
  class Part {
    constructor(article, place) {
      const find = (query) => article.querySelector(query);
      const data = JSON.parse(find("script[type='application/json']").textContent);
      this.slices = (data.slices || [data]).map((slice) => new Market(slice));
      this.market = this.slices[0];
      // What is best is so of all decisions together: that of a curve through today's is not.
      for (const slice of this.slices) slice.bestState = this.market.bestState;
      this.article = article;
      this.find = find;
      const go = (price) => this.go(price);
      this.pictures = [new Curves(find(".curves"), this.market, go, `m${place}`), new Flows(find(".flows"), this.market)];
      this.controls();
      this.tables();
      article.querySelectorAll(".live").forEach((element) => { element.hidden = false; });
      this.turn(this.market);
      this.go(this.market.best);
      this.watch();
    }

    /** One slider and one field for each decision; moving one shows the curve along it through where the others are held. */
    controls() {
      const all = (query) => [...this.article.querySelectorAll(query)], fields = all(".price");
      this.rows = all(".slider").map((slider, k) => ({ slider, field: fields[k] }));
      this.rows.forEach(({ slider, field }, k) => {
        const mine = () => this.slice(k, this.market.base);
        const to = (price, typing = false) => {
          this.turn(mine());
          this.go(price, typing);
        };
        slider.addEventListener("input", () => to(snapped(mine(), Number(slider.value))));
        field.addEventListener("input", () => {
          const price = field.valueAsNumber;
          if (price >= mine().low && price <= mine().high) to(price, true);
        });
        field.addEventListener("change", () => {
          const price = field.valueAsNumber, market = mine();
          if (Number.isFinite(price)) to(Math.min(Math.max(price, market.low), market.high));
          else this.go(this.now.price);
        });
        for (const input of [slider, field]) input.addEventListener("keydown", (event) => this.key(event, k));
      });
      this.jumps();
    }

    /** The curve along a decision, the others as at a base. */
    slice(decision, base) {
      return this.slices.find((slice) => (slice.decision || 0) === decision && slice.base === base);
    }

    /** Show another curve from now on. */
    turn(market) {
      const before = this.market;
      this.market = market;
      this.rows.forEach(({ slider, field }, k) => {
        const { low, high, base } = this.slice(k, market.base);
        for (const input of [slider, field]) set(input, { min: low, max: high });
        slider.disabled = field.disabled = !(high > low);
        const held = market.others && market.others[k][1];
        if (held !== undefined && k !== market.decision) this.place(k, held, false);
      });
      this.find(".has-today").hidden = market.today === null;
      if (market.others) {
        const others = market.others.filter((_, k) => k !== market.decision).map(([name, value]) => `${name} ${figure(value)}`);
        this.find(".held").textContent = `Along ${market.moves}; held as ${market.base === "best" ? "at the best" : "today"}: ${others.join(", ")}.`;
        this.find(".moves").textContent = market.moves;
      }
      for (const picture of this.pictures) {
        picture.market = market;
        if (picture.width && market !== before) picture.draw(picture.width);
      }
    }

    /** Put a slider and its field at a value; while someone types it, the field is left alone. */
    place(k, price, typing) {
      const { slider, field } = this.rows[k];
      if (!typing) field.value = figure(price, 6);
      slider.value = price;
      slider.setAttribute("aria-valuetext", figure(price, 6));
    }

    jumps() {
      const { market } = this;
      const apart = (price) => Math.abs(price - market.best) > SAME * market.high;
      const wanted = [];
      if (market.others) {
        wanted.push([`Best ${market.what}s`, market.best, market]);
        const today = this.slice(0, "today");
        if (today) wanted.push(["Today", today.today, today]);
      } else {
        wanted.push([`Best ${market.what} ${figure(market.best)}`, market.best, market]);
        if (market.today !== null) wanted.push([`Today ${figure(market.today)}`, market.today, market]);
        for (const price of market.maxima.filter(apart).slice(0, MOST_MAXIMA)) wanted.push([`Local maximum ${figure(price)}`, price, market]);
      }
      this.buttons = wanted.map(([name, price, slice]) => {
        const button = make(this.find(".jumps"), "button", { type: "button" }, name);
        button.addEventListener("click", () => {
          this.turn(slice);
          this.go(price);
        });
        return [button, price, slice];
      });
    }

    /** Arrows move by a small round step, with Page Up and Page Down by ten. */
    key(event, k) {
      const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
      if (event.target === this.rows[k].slider) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
      const by = steps[event.key], market = this.slice(k, this.market.base);
      if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const at = (market === this.market ? this.now.price : market.others[k][1]) / market.step;
      const next = by > 0 ? Math.floor(at + 1e-6) + by : Math.ceil(at - 1e-6) + by;
      this.turn(market);
      this.go(Math.min(Math.max(clean(next * market.step), market.low), market.high));
    }

    tables() {
      const { market } = this;
      this.providers = new Table(this.find("table.providers"), ["provider", "price", "load", "% of all", "congestion", "vs best"], market.providers.map((one) => one.name), [], [1, 4]);
      this.users = new Table(this.find("table.users"), ["user", "demand", "to leader", "% of own", "state", "vs best"], market.users.map((one) => one.name), [4], [1, 3]);
      for (const row of this.providers.rows.slice(0, market.own)) row[0].parentElement.classList.add("own");
    }

    /** Pictures are drawn as wide as they can be, once they can be seen. */
    watch() {
      const observer = new ResizeObserver((entries) => {
        for (const { target, contentRect } of entries) {
          const picture = this.pictures.find((one) => one.holder === target), width = Math.round(contentRect.width);
          if (width > 0 && width !== picture.width) {
            picture.width = width;
            picture.draw(width);
            picture.show(this.now);
          }
        }
      });
      this.pictures.forEach(({ holder }) => observer.observe(holder));
    }

    /** Show the market at a value of the decision that moves; while someone types it, the field is left alone. */
    go(price, typing = false) {
      const now = this.now = this.market.at(price);
      this.place(this.market.decision || 0, price, typing);
      for (const [button, at, slice] of this.buttons) button.setAttribute("aria-pressed", String(this.rests(at, slice, price)));
      this.tiles(now);
      this.cells(now);
      this.article.querySelectorAll(".at").forEach((element) => { element.textContent = this.market.told(price); });
      this.find(".next").textContent = this.market.nextChanges(price);
      this.pictures.forEach((picture) => picture.show(now));
      this.say(now);
    }

    /** Whether all decisions are where a button puts them. */
    rests(at, slice, price) {
      const { market } = this;
      return market.base === slice.base && price === (market.others ? market.others[market.decision][1] : at);
    }

    tiles(now) {
      const { market } = this, best = market.bestState.profit;
      const tell = (name, value, text) => {
        const data = this.find(name);
        data.value = String(value);
        data.textContent = text;
      };
      tell(".profit", now.profit, figure(now.profit, 5));
      tell(".share", best > 0 ? now.profit / best : "", percent(now.profit, best));
      tell(".load", now.load, figure(now.load, 5));
      const named = market.users.filter((user) => user.named).length;
      const using = market.users.filter((user, i) => user.named && market.toLeader(now.flow[i]) > 0).length;
      tell(".using", using, String(using));
      this.find(".of-demand").textContent = `${percent(now.load, market.demand)} of all`;
      this.find(".of-users").textContent = `of ${named}${named < market.users.length ? " shown" : ""}`;
      this.find(".part-bar span").style.width = best > 0 ? `${100 * Math.max(0, Math.min(1, now.profit / best))}%` : "0";
    }

    cells(now) {
      const { market } = this, before = market.bestState, least = SAME * market.demand, states = market.states(now);
      market.providers.forEach((provider, j) => {
        const load = now.loads[j];
        this.providers.show(j, [
          this.market.asked(provider, now.price),
          figure(load),
          percent(load, market.demand).replace(" %", ""),
          provider.capacity === null ? "-" : figure(load / provider.capacity),
          signed(load - before.loads[j], least),
        ]);
        bar(this.providers.rows[j][2], load / market.largest);
      });
      market.users.forEach((user, i) => {
        const flow = market.toLeader(now.flow[i]);
        this.users.show(i, [
          figure(user.demand), figure(flow), percent(flow, user.demand).replace(" %", ""), states[i], signed(flow - market.toLeader(before.flow[i]), least),
        ]);
        bar(this.users.rows[i][2], flow / user.demand);
      });
    }

    /** Tell who listens, once the price rests. */
    say(now) {
      clearTimeout(this.timer);
      const text = `At ${this.market.told(now.price)}: profit ${figure(now.profit)}, ${percent(now.profit, this.market.bestState.profit)} of the best; load ${figure(now.load)}.`;
      this.timer = setTimeout(() => { this.find(".said").textContent = text; }, 500);
    }
  }

  const articles = [...document.querySelectorAll("article")];
  articles.forEach((article, place) => new Part(article, place));
  const choose = document.getElementById("choose");
  if (choose) {
    const show = () => articles.forEach((article, place) => { article.hidden = String(place) !== choose.value; });
    choose.parentElement.hidden = false;
    choose.addEventListener("change", show);
    show();
  }
})();
