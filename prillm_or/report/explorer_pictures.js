// What a page draws of a market: profit and load along a decision, the map of two, flows. Names are set as text, never as
// markup.
"use strict";
const pictures = (() => {
  const SAME = 1e-9, MAP = 64;
  const LINE = 16, GAP = 3, NODE = 10, VOLUME = 300, FIGURES = 46, ROOMY = 480;

  const figure = (value, digits = 4) => String(Number(value.toPrecision(digits)));
  const percent = (part, whole) => (whole > 0 ? `${figure((100 * part) / whole, 3)} %` : "-");
  const clean = (value) => Number(value.toPrecision(12));

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

  function make(parent, name, attributes = {}, text = null) {
    const inPicture = parent.namespaceURI.endsWith("svg") || name === "svg";
    const made = inPicture ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    set(made, attributes);
    if (text !== null) made.textContent = text;
    parent.appendChild(made);
    return made;
  }

  /** Set attributes that are other ones now: whatever is set is laid out anew. */
  function set(element, attributes) {
    for (const [key, value] of Object.entries(attributes)) {
      if (element.getAttribute(key) !== String(value)) element.setAttribute(key, value);
    }
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

  /** Follow a pointer that is down on a picture: where it is, in the picture's own lengths. */
  function follow(svg, width, told) {
    const at = (event) => {
      const box = svg.getBoundingClientRect(), scale = width / box.width;
      told((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      at(event);
    });
    svg.addEventListener("pointermove", (event) => {
      if (event.buttons) at(event);
    });
  }

  /** Profit and load along one decision, with its value now. */
  class Curves {
    constructor(holder, view, go, id) {
      Object.assign(this, { holder, view, go, id, height: 418 });
    }

    /** Draw a curve, see `explorer.js`, once there is one and the page has been laid out. */
    draw(curve) {
      this.curve = curve;
      if (!this.width || !curve) return;
      const { width, height } = this, left = 52, right = 12, { pieces, low, high, k } = curve;
      this.holder.replaceChildren();
      this.svg = make(this.holder, "svg", { viewBox: `0 0 ${width} ${height}`, height });
      const span = high - low || 1, slider = this.view.sliders[k];
      this.x = (value) => left + ((value - low) / span) * (width - left - right);
      const profits = pieces.flatMap((piece) => [piece.from, piece.to].map((value) => equilibria.profitOn(piece, value)));
      const loads = pieces.flatMap((piece) => [piece.from, piece.to].map((value) => equilibria.loadOn(piece, value)));
      const top = Math.max(0, ...profits, ...curve.maxima.map(({ profit }) => profit), this.view.best.profit);
      const bottom = Math.min(0, Math.max(Math.min(...profits), top > 0 ? -0.25 * top : -Infinity));
      this.profitY = this.axes(14, 250, bottom, top, left, right, `profit, ${this.view.units.money}`, 5);
      this.loadY = this.axes(290, 84, 0, Math.max(0, ...loads), left, right, `load, ${this.view.units.volume}`, 2);
      this.marks(curve, slider, left, right);
      this.lines(curve, bottom);
      this.thread = make(this.svg, "line", { class: "thread", y1: 14, y2: 374 });
      this.profitDot = make(this.svg, "circle", { class: "now", r: 7 });
      this.loadDot = make(this.svg, "circle", { class: "now", r: 5 });
      follow(this.svg, width, (x) => this.go(k, low + ((x - left) / (width - left - right)) * (high - low)));
    }

    axes(from, height, low, high, left, right, title, most) {
      const range = high - low || 1, { width } = this;
      const y = (value) => from + height - ((value - low) / range) * height;
      for (const value of ticks(low, high, most)) {
        make(this.svg, "line", { class: "rule", x1: left, x2: width - right, y1: y(value), y2: y(value) });
        make(this.svg, "text", { class: "quiet", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, figure(value));
      }
      make(this.svg, "line", { class: "axis", x1: left, x2: width - right, y1: y(Math.max(low, 0)), y2: y(Math.max(low, 0)) });
      make(this.svg, "text", { class: "quiet", x: left, y: from - 4 }, title);
      return y;
    }

    marks({ low, high, k, pieces }, slider, left, right) {
      const { width, view } = this, unit = view.market.factors ? "" : `, ${view.units.price}`;
      const title = make(this.svg, "text", { class: "quiet", x: (left + width - right) / 2, y: 413, "text-anchor": "middle" });
      fitted(title, `${slider.label}${unit}`, width - left - right);
      for (const value of ticks(low, high, width > 480 ? 6 : 4)) {
        make(this.svg, "text", { class: "quiet", x: this.x(value), y: 396, "text-anchor": "middle" }, figure(value));
      }
      if (slider.range) {
        const [from, to] = slider.range.map((value) => this.x(Math.min(value, high)));
        make(this.svg, "rect", { class: "open", x: from, width: Math.max(to - from, 2), y: 14, height: 360 });
      }
      if (view.today && view.today[k] <= high) {
        const x = this.x(view.today[k]);
        make(make(this.svg, "line", { class: "today", x1: x, x2: x, y1: 14, y2: 374 }), "title", {}, `${view.what} today: ${figure(view.today[k])}`);
      }
      const bends = pieces.slice(1).map(({ from }) => `M${this.x(from)} 374v7`).join("");
      make(this.svg, "path", { class: "bend", d: bends });
    }

    /** On each piece the profit is a parabola, which a quadratic Bezier curve is too. */
    lines({ pieces, maxima, k }, bottom) {
      const clip = make(make(this.svg, "clipPath", { id: `${this.id}-clip` }), "rect", {});
      set(clip, { x: 0, y: 8, width: 10000, height: this.profitY(bottom) - 8 });
      const { x, profitY, loadY } = this, { profitOn, loadOn } = equilibria;
      let path = `M${x(pieces[0].from)} ${profitY(profitOn(pieces[0], pieces[0].from))}`;
      let loads = `M${x(pieces[0].from)} ${loadY(loadOn(pieces[0], pieces[0].from))}`;
      for (const piece of pieces) {
        const { from, to } = piece, half = (to - from) / 2;
        const bent = profitOn(piece, from) + half * (piece.profitSlope + 2 * piece.bend * (from - piece.at));
        path += `Q${x(from + half)} ${profitY(bent)} ${x(to)} ${profitY(profitOn(piece, to))}`;
        loads += `L${x(to)} ${loadY(loadOn(piece, to))}`;
      }
      make(this.svg, "path", { class: "curve", d: path, "clip-path": `url(#${this.id}-clip)` });
      make(this.svg, "path", { class: "curve", d: loads });
      for (const { value, profit } of maxima) {
        const mark = make(this.svg, "path", { class: "maximum", d: `M${x(value)} ${profitY(profit) - 8}l8 8l-8 8l-8 -8z` });
        make(mark, "title", {}, `local maximum: ${figure(value)}`);
      }
      const { values, profit } = this.view.best;
      const best = make(this.svg, "circle", { class: "best-mark", cx: x(values[k]), cy: profitY(profit), r: 5 });
      make(best, "title", {}, `best of the file's market: ${figure(values[k])}`);
    }

    show(now) {
      const { curve, holder, view } = this;
      if (!this.svg || !curve) return;
      const value = Math.min(now.values[curve.k], curve.high), x = this.x(value);
      set(this.thread, { x1: x, x2: x });
      set(this.profitDot, { cx: x, cy: Math.min(374, this.profitY(now.profit)) });
      set(this.loadDot, { cx: x, cy: this.loadY(now.load) });
      holder.setAttribute("aria-label", `Profit and load over ${view.what}. At ${figure(now.values[curve.k])}: profit ${figure(now.profit)}, load ${figure(now.load)}.`);
    }
  }

  /** Profit over two decisions, and the lines at which a user begins or stops using a provider. */
  class ProfitMap {
    constructor(holder, view, go) {
      Object.assign(this, { holder, view, go, height: 380 });
    }

    /** Where nodes are; the axes; nothing computed yet. */
    draw() {
      if (!this.width) return;
      const { width, height, view } = this, left = 58, right = 14, top = 12, below = 46;
      this.holder.replaceChildren();
      this.canvas = make(this.holder, "canvas", { width: MAP + 1, height: MAP + 1, "aria-hidden": "true" });
      this.svg = make(this.holder, "svg", { viewBox: `0 0 ${width} ${height}`, height });
      const [across, up] = view.sliders.map(({ high }) => high || 1), wide = width - left - right, tall = height - top - below;
      Object.assign(this.canvas.style, { left: `${left}px`, top: `${top}px`, width: `${wide}px`, height: `${tall}px` });
      this.x = (value) => left + (Math.min(value, across) / across) * wide;
      this.y = (value) => top + tall - (Math.min(value, up) / up) * tall;
      for (const value of ticks(0, across, 6)) {
        make(this.svg, "text", { class: "quiet", x: this.x(value), y: height - 28, "text-anchor": "middle" }, figure(value));
      }
      for (const value of ticks(0, up, 5)) make(this.svg, "text", { class: "quiet", x: left - 6, y: this.y(value) + 4, "text-anchor": "end" }, figure(value));
      const unit = view.market.factors ? "" : `, ${view.units.price}`;
      const below_ = make(this.svg, "text", { class: "quiet", x: left + wide / 2, y: height - 8, "text-anchor": "middle" });
      fitted(below_, `${view.sliders[0].label}${unit}`, wide);
      const beside = make(this.svg, "text", { class: "quiet", transform: `translate(12 ${top + tall / 2}) rotate(-90)`, "text-anchor": "middle" });
      fitted(beside, `${view.sliders[1].label}${unit}`, tall);
      this.regions = [make(this.svg, "path", { class: "region" }), make(this.svg, "path", { class: "region own" })];
      make(this.svg, "rect", { class: "axis", fill: "none", x: left, y: top, width: wide, height: tall });
      this.marks(across, up);
      follow(this.svg, width, (x, y) => this.go([((x - left) / wide) * across, ((top + tall - y) / tall) * up]));
      this.restart();
    }

    marks(across, up) {
      const { view } = this, ranges = view.sliders.map(({ range }) => range);
      if (ranges[0] && ranges[1]) {
        const [x, y] = [this.x(ranges[0][0]), this.y(ranges[1][1])];
        make(this.svg, "rect", { class: "window", x, y, width: this.x(ranges[0][1]) - x, height: this.y(ranges[1][0]) - y });
      }
      const best = make(this.svg, "circle", { class: "best-mark", cx: this.x(view.best.values[0]), cy: this.y(view.best.values[1]), r: 5 });
      make(best, "title", {}, "best of the file's market");
      if (view.today && view.today[0] <= across && view.today[1] <= up) {
        make(make(this.svg, "circle", { class: "ring", cx: this.x(view.today[0]), cy: this.y(view.today[1]), r: 6 }), "title", {}, "today");
      }
      this.dot = make(this.svg, "circle", { class: "now", r: 6 });
    }

    /** Begin anew, in a market; `work` goes on with it. */
    restart(market = this.market) {
      Object.assign(this, { market, row: 0, profits: [], before: null, paths: ["", ""], lines: [] });
    }

    get done() {
      return !this.svg || this.row > MAP;
    }

    /** One row of nodes. */
    work() {
      const { view, market } = this, [across, up] = view.sliders.map(({ high }) => high);
      const row = [];
      for (let column = 0; column <= MAP; column += 1) {
        const start = column ? row[column - 1] : this.before && this.before[0];
        row.push(equilibria.solve(market, [(across * column) / MAP, (up * this.row) / MAP], start));
      }
      this.profits.push(row.map(equilibria.profit));
      if (this.before) for (let column = 0; column < MAP; column += 1) this.cell(column, [this.before[column], this.before[column + 1], row[column + 1], row[column]]);
      this.before = row;
      this.row += 1;
      if (this.done) this.paint();
    }

    /** Lines through a cell on which a slack is zero: at its sides by how slacks change along them, which is linear. */
    cell(column, corners) {
      const { m } = corners[0].problem, [across, up] = this.view.sliders.map(({ high }) => high), size = corners[0].room.length;
      const places = [[0, 0], [1, 0], [1, 1], [0, 1]];
      for (let pair = 0; pair < size; pair += 1) {
        const used = corners[0].room[pair] > 0;
        if (corners.every(({ room }) => (room[pair] > 0) === used)) continue;
        const crossed = [];
        for (let side = 0; side < 4; side += 1) {
          const next = (side + 1) % 4, a = corners[side].room[pair], b = corners[next].room[pair];
          if ((a > 0) === (b > 0)) continue;
          const part = a / (a - b), [x, y] = places[side].map((place, axis) => place + part * (places[next][axis] - place));
          crossed.push(`${this.x((across * (column + x)) / MAP).toFixed(1)} ${this.y((up * (this.row - 1 + y)) / MAP).toFixed(1)}`);
        }
        this.paths[Number(this.market.leader.includes(pair % m))] += `M${crossed.slice(0, 2).join("L")}`;
      }
    }

    paint() {
      const context = this.canvas.getContext("2d"), most = Math.max(0, ...this.profits.flat());
      context.clearRect(0, 0, MAP + 1, MAP + 1);
      context.fillStyle = getComputedStyle(this.holder).getPropertyValue("--own");
      this.profits.forEach((row, up) => row.forEach((profit, across) => {
        const part = most > 0 ? Math.max(profit / most, 0) : 0;
        context.globalAlpha = 0.85 * part ** 3;
        context.fillRect(across, MAP - up, 1, 1);
      }));
      this.regions.forEach((region, which) => region.setAttribute("d", this.paths[which]));
    }

    show(now) {
      if (!this.svg) return;
      set(this.dot, { cx: this.x(now.values[0]), cy: this.y(now.values[1]) });
      this.holder.setAttribute("aria-label", `Profit over both ${this.view.what}s. At ${now.values.map((value) => figure(value)).join(" and ")}: profit ${figure(now.profit)}.`);
    }
  }

  /** Flows as bands from users on the left to providers on the right; heights are volumes. */
  class Flows {
    constructor(holder, view) {
      Object.assign(this, { holder, view, bands: new Map() });
    }

    draw() {
      if (!this.width) return;
      const { view, width } = this;
      this.holder.replaceChildren();
      this.bands.clear();
      this.svg = make(this.holder, "svg");
      this.figures = width >= ROOMY ? FIGURES : 0;
      this.labels = [view.users, view.providers].map((all) => this.longest(all.map((one) => one.name), 0.28 * width));
      this.sides = [this.labels[0] + 6, width - this.labels[1] - this.figures - 6 - NODE];
      this.drawn = make(this.svg, "g");
      this.userNodes = view.users.map(({ name }, i) => this.node(name, "user", i));
      this.providerNodes = view.providers.map(({ name }, j) => this.node(name, j < view.own ? "own" : "", j));
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
    stack(volumes, scale) {
      let height = 0;
      const slots = volumes.map((volume) => {
        const tall = volume * scale, room = Math.max(tall, LINE), top = height + (room - tall) / 2;
        height += room + GAP;
        return { top, tall, middle: height - GAP - room / 2 };
      });
      return { slots, height };
    }

    placed({ slots, height }) {
      const shift = (this.height - height) / 2;
      return slots.map((slot) => ({ ...slot, top: slot.top + shift, middle: slot.middle + shift }));
    }

    node(name, kind, place) {
      const onLeft = kind === "user";
      const node = { rect: make(this.svg, "rect", { class: `node ${kind}`, x: this.sides[onLeft ? 0 : 1], width: NODE }) };
      const room = this.labels[onLeft ? 0 : 1], x = onLeft ? room : this.width - room - this.figures;
      node.name = make(this.svg, "text", { class: kind, x, "text-anchor": onLeft ? "end" : "start" });
      fitted(node.name, name, room);
      if (!onLeft && this.figures) node.value = make(this.svg, "text", { class: "quiet", x: this.width, "text-anchor": "end" });
      for (const part of [node.rect, node.name]) part.dataset[onLeft ? "user" : "provider"] = place;
      return node;
    }

    put(node, slot) {
      set(node.rect, { y: slot.top, height: Math.max(slot.tall, 0.75) });
      for (const text of [node.name, node.value]) if (text) set(text, { y: slot.middle + 4 });
    }

    listen() {
      const light = (event) => {
        const { user, provider } = event.target.dataset || {};
        this.svg.classList.toggle("dim", user !== undefined || provider !== undefined);
        for (const { band, i, j } of this.bands.values()) {
          band.classList.toggle("lit", String(i) === user || String(j) === provider);
          if (band === event.target) this.name(band, i, j);
        }
      };
      this.svg.addEventListener("pointerover", light);
      this.svg.addEventListener("pointerleave", light);
    }

    /** The band of a pair, made when it is first used. */
    band(i, j) {
      const key = i * this.view.providers.length + j;
      if (!this.bands.has(key)) {
        const band = make(this.drawn, "path", { class: j < this.view.own ? "band own" : "band" });
        make(band, "title", {}, `${this.view.users[i].name} to ${this.view.providers[j].name}`);
        this.bands.set(key, { band, i, j });
      }
      return this.bands.get(key).band;
    }

    /** Tell in a band's title what flows: once it is pointed at, as there may be hundreds. */
    name(band, i, j) {
      const { flow, demands } = this.now, { users, providers } = this.view;
      band.firstChild.textContent = `${users[i].name} to ${providers[j].name}: ${figure(flow[i][j])}, ${percent(flow[i][j], demands[i])} of its demand`;
    }

    show(now) {
      this.now = now;
      if (!this.svg) return;
      const { width } = this, scale = VOLUME / now.demand;
      const [users, providers] = [this.stack(now.demands, scale), this.stack(now.loads, scale)];
      // Never lower than before, so that what is below the picture keeps still.
      this.height = Math.max(users.height, providers.height, this.width === this.drawnAt ? this.height : 0);
      this.drawnAt = width;
      set(this.svg, { viewBox: `0 0 ${width} ${this.height}`, height: this.height });
      const [left, right] = [this.placed(users), this.placed(providers)];
      this.userNodes.forEach((node, i) => this.put(node, left[i]));
      this.providerNodes.forEach((node, j) => {
        this.put(node, right[j]);
        const told = figure(now.loads[j], 3);
        if (node.value && node.value.textContent !== told) node.value.textContent = told;
      });
      this.shape(now, scale, left.map((slot) => slot.top), right.map((slot) => slot.top));
      this.holder.setAttribute("aria-label", `Flows from users to providers. At ${now.told} the leader has ${percent(now.load, now.demand)} of all demand; the tables below hold every figure.`);
    }

    shape(now, scale, left, right) {
      const [from, to] = [this.sides[0] + NODE, this.sides[1]], middle = (from + to) / 2;
      const shown = new Set();
      now.flow.forEach((row, i) => row.forEach((flow, j) => {
        if (!(flow > 0)) return;
        const tall = flow * scale, a = left[i], b = right[j], band = this.band(i, j);
        left[i] += tall;
        right[j] += tall;
        shown.add(band);
        band.setAttribute("d", `M${from} ${a}C${middle} ${a} ${middle} ${b} ${to} ${b}v${tall}C${middle} ${b + tall} ${middle} ${a + tall} ${from} ${a + tall}z`);
      }));
      for (const { band } of this.bands.values()) if (!shown.has(band)) band.setAttribute("d", "");
    }
  }

  return { Curves, ProfitMap, Flows, make, set, figure, percent, clean, round, SAME };
})();
