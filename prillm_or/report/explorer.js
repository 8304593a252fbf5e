// A page's controls and tables: whatever is moved, the users' equilibrium is solved anew and everything shows it.
"use strict";
(() => {
  const { Curves, ProfitMap, Flows, make, set, figure, percent, clean, round, SAME } = pictures;
  const NEAR = 0.01, MOST_MAXIMA = 5, MOST_CHANGES = 3, FRAME_MS = 5, CALM_MS = 100, REST_MS = 500, AT_ONCE = 30, AMPLE = 1000;

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const signed = (value, least) => (Math.abs(value) <= least ? "0" : `${value > 0 ? "+" : "-"}${figure(Math.abs(value), 3)}`);

  /** What a page shows of a market: its figures in the file, where it is best, and who is named. */
  class View {
    constructor(data) {
      Object.assign(this, data);
      this.own = data.market.leader.length;
      this.ids = { users: data.users, providers: data.providers };
      this.order = { users: data.named.users, providers: data.named.providers };
      this.users = this.shown("users", "user");
      this.providers = this.shown("providers", "rival");
      this.best = this.fold(equilibria.solve(data.market, data.best));
      for (const slider of this.sliders) slider.step = slider.high > 0 ? round(slider.high / 400) : 0;
    }

    /** Those named, in order, then all others as one. */
    shown(kind, what) {
      const ids = this[kind], named = this.order[kind], more = ids.length - named.length;
      const others = more ? [{ name: `${more} other ${what}s`, named: false }] : [];
      this.place = { ...this.place, [kind]: ids.map((_, k) => (named.includes(k) ? named.indexOf(k) : named.length)) };
      return [...named.map((k) => ({ name: ids[k], named: true, at: k })), ...others];
    }

    /** An equilibrium as it is shown: flows and loads of those named, and of all others as one. */
    fold(found) {
      const { market, n, m, values } = found.problem, { users, providers } = this.place;
      const flow = this.users.map(() => this.providers.map(() => 0)), demands = this.users.map(() => 0);
      let using = 0;
      for (let i = 0; i < n; i += 1) {
        demands[users[i]] += market.demand[i];
        using += Number(market.leader.some((j) => found.flow[i * m + j] > 0));
        for (let j = 0; j < m; j += 1) flow[users[i]][providers[j]] += found.flow[i * m + j];
      }
      const loads = this.providers.map((_, j) => sum(flow.map((row) => row[j])));
      const load = sum(market.leader.map((j) => found.load[j])), demand = sum(market.demand);
      return { found, values, profit: equilibria.profit(found), load, loads, flow, demands, demand, using, told: this.told(values) };
    }

    /** What a user routes to the leader. */
    toLeader(row) {
      return sum(row.slice(0, this.own));
    }

    /** The decisions, for a heading. */
    told(values) {
      if (values.length === 1) return figure(values[0]);
      return values.map((value, k) => `${this.sliders[k].name} ${figure(value)}`).join(", ");
    }

    /** What a provider asks: a number, or one for each component. */
    asked({ named, at }, { problem: { prices } }) {
      if (!named) return "-";
      return prices[at].map((price, c) => `${this.components[c] || ""} ${figure(price)}`.trim()).join(", ");
    }
  }

  /** What may be moved beside the decisions, by the name it has in a link. */
  function knobsOf({ market, users, providers, components }) {
    const total = sum(market.demand), prices = market.price.flat().filter((price) => price > 0);
    const usual = prices.length ? prices.sort((one, other) => one - other)[prices.length >> 1] : 1;
    const knobs = [], add = (name, label, base, low, high, put) => knobs.push({ name, label, base, low, high, put });
    market.price.forEach((list, j) => {
      if (market.leader.includes(j)) return;
      list.forEach((base, c) => {
        const of = components.length ? `${components[c]} price` : "price", name = components.length ? `${providers[j].name}.${components[c]}` : providers[j].name;
        add(`price.${name}`, `${of} of ${providers[j].name}`, base, 0, 2 * (base || usual), (to, value) => { to.price[j][c] = value; });
      });
      const capacity = market.capacity[j], value = market.value[j], about = Math.max(Math.abs(value), usual);
      if (market.congestionWeight[0] > 0 && capacity < AMPLE * total) {
        add(`capacity.${providers[j].name}`, `capacity of ${providers[j].name}`, capacity, capacity / 10, 3 * capacity, (to, moved) => { to.capacity[j] = moved; });
      }
      add(`value.${providers[j].name}`, `value of ${providers[j].name}`, value, value - about, value + about, (to, moved) => { to.value[j] = moved; });
    });
    users.forEach(({ name }, i) => {
      const base = market.demand[i];
      add(`demand.${name}`, `demand of ${name}`, base, base / 10, 3 * base, (to, value) => { to.demand[i] = value; });
    });
    return knobs;
  }

  /** The market with other figures. */
  function altered(market, knobs, changes) {
    if (!changes.size) return market;
    const copy = { ...market, price: market.price.map((list) => [...list]) };
    for (const name of ["capacity", "value", "demand"]) copy[name] = [...market[name]];
    for (const { name, put } of knobs) if (changes.has(name)) put(copy, changes.get(name));
    return copy;
  }

  /** The curve along decision k through where all are, piece by piece, as time allows. */
  class Curve {
    constructor(view, market, values, k) {
      Object.assign(this, { view, market, values, k, low: 0, high: view.sliders[k].high, pieces: [], done: false });
      this.coming = equilibria.pieces(market, values, k, this.low, this.high);
    }

    /** Whether it goes through other values of the decisions, too. */
    holds(market, values, k) {
      return market === this.market && k === this.k && values.every((value, which) => which === k || value === this.values[which]);
    }

    work() {
      const { done, value } = this.coming.next();
      if (!done) this.pieces.push(value);
      else this.finish();
    }

    finish() {
      this.done = true;
      this.maxima = [...this.tops()];
      this.changes = this.pieces.slice(1).map((piece, k) => ({ value: piece.from, pairs: this.moved(this.pieces[k].support, piece.support) }));
      this.changes = this.changes.filter(({ pairs }) => pairs.length);
    }

    /** Where the profit passes from rising to falling, and the cap where it still rises. */
    *tops() {
      const slope = (piece, value) => piece.profitSlope + 2 * piece.bend * (value - piece.at);
      const most = Math.max(0, ...this.pieces.map((piece) => equilibria.profitOn(piece, piece.to)));
      let rises = true;
      for (const piece of this.pieces) {
        const before = slope(piece, piece.from), after = slope(piece, piece.to);
        let value = null;
        if (rises && before <= 0) value = piece.from;
        else if (before > 0 && after < 0) value = piece.at - piece.profitSlope / (2 * piece.bend);
        rises = after > 0;
        const profit = value === null ? 0 : equilibria.profitOn(piece, value);
        if (profit > SAME * most) yield { value, profit };
      }
      const last = this.pieces[this.pieces.length - 1];
      if (rises && this.high >= this.view.sliders[this.k].cap) yield { value: this.high, profit: equilibria.profitOn(last, this.high) };
    }

    /** Pairs of those named that begin or end from one support to the next. */
    moved(before, after) {
      const { users, providers } = this.view.place, m = providers.length, found = [];
      after.forEach((used, pair) => {
        const i = users[Math.floor(pair / m)], j = providers[pair % m];
        if (used !== before[pair] && this.view.users[i].named && this.view.providers[j].named) found.push([i, j, used === 1]);
      });
      return found;
    }

    /** Who comes and goes next, up and down. */
    next(value) {
      const { users, providers, what, sliders } = this.view, same = SAME * this.high;
      const above = this.changes.find((change) => change.value > value + same);
      const below = [...this.changes].reverse().find((change) => change.value < value - same);
      const told = (change, rising) => {
        const parts = change.pairs.slice(0, MOST_CHANGES).map(([i, j, begins]) =>
          `${users[i].name} ${begins === rising ? "begins" : "stops"} using ${providers[j].name}`);
        const more = change.pairs.length - parts.length;
        return `at ${figure(change.value)} ${parts.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
      };
      const next = [...users, ...providers].every((one) => one.named) ? "Next" : "Next of those named,";
      return [
        above ? `${next} as ${sliders.length > 1 ? sliders[this.k].name : `the ${what}`} rises: ${told(above, true)}.` : "",
        below ? `${next} as it falls: ${told(below, false)}.` : "",
      ].filter(Boolean).join(" ");
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

    show(place, texts, value) {
      const cells = this.rows[place];
      texts.forEach((text, k) => {
        if (cells[k + 1].textContent !== text) cells[k + 1].textContent = text;
      });
      cells[2].dataset.value = String(value);
    }

    /** A bar below the figure of a row. */
    bar(place, part) {
      this.rows[place][2].classList.add("bar");
      this.rows[place][2].style.setProperty("--part", `${100 * Math.min(Math.max(part, 0), 1)}%`);
    }
  }

  /** A figure as one word of a shell. */
  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  /** One market's part of the page. */
  class Part {
    constructor(article, place) {
      const find = (query) => article.querySelector(query), all = (query) => [...article.querySelectorAll(query)];
      const data = JSON.parse(find("script[type='application/json']").textContent);
      Object.assign(this, { article, find, all, view: new View(data), moving: 0, found: null, curve: null });
      this.file = data.market;
      const named = (ids) => ids.map((name) => ({ name }));
      this.knobs = knobsOf({ ...data, users: named(data.users), providers: named(data.providers) });
      Object.assign(this, { changes: new Map(), market: this.file, values: data.best });
      this.curves = new Curves(find(".curves"), this.view, (k, value) => this.move(k, this.snapped(k, value)), `m${place}`);
      this.flows = new Flows(find(".flows"), this.view);
      const both = (values) => this.go(values.map((value, k) => this.snapped(k, value)));
      this.map = find(".map") && new ProfitMap(find(".map"), this.view, both);
      if (this.map) this.map.restart(this.market);
      this.pictures = [this.curves, this.flows, this.map].filter(Boolean);
      this.controls();
      this.others();
      this.share();
      this.tables();
      all(".live").forEach((element) => { element.hidden = false; });
      all(".has-today").forEach((element) => { element.hidden = !data.today; });
      all(".has-range").forEach((element) => { element.hidden = !data.sliders.some(({ range }) => range); });
      this.go(this.values);
      this.settle();
      this.watch();
    }

    /** One slider and one field for each decision. */
    controls() {
      const fields = this.all(".price"), { view } = this;
      this.rows = this.all(".slider").map((slider, k) => ({ slider, field: fields[k] }));
      this.rows.forEach(({ slider, field }, k) => {
        const { high, cap, range } = view.sliders[k];
        set(slider, { max: high });
        set(field, { max: cap });
        slider.disabled = field.disabled = !(cap > 0);
        const at = (value) => `calc(8px + (100% - 16px) * ${high > 0 ? Math.min(value / high, 1) : 0})`;
        const mark = (name, value, title) => make(slider.parentElement, "span", { class: `mark ${name}`, title, style: `left: ${at(value)}` });
        if (range) {
          const told = `best ${view.what}s that the data leave open: ${range.map((value) => figure(value)).join(" to ")}`;
          make(slider.parentElement, "span", { class: "span", title: told, style: `left: ${at(range[0])}; right: calc(100% - ${at(range[1])})` });
        }
        if (view.today) mark("today", view.today[k], `today: ${figure(view.today[k])}`);
        mark("best", view.best.values[k], `best of the file's market: ${figure(view.best.values[k])}`);
        slider.addEventListener("input", () => this.move(k, this.snapped(k, Number(slider.value))));
        field.addEventListener("input", () => {
          const value = field.valueAsNumber;
          if (value >= 0 && value <= cap) this.move(k, value, true);
        });
        field.addEventListener("change", () => {
          const value = field.valueAsNumber;
          this.move(k, Number.isFinite(value) ? Math.min(Math.max(value, 0), cap) : this.values[k]);
        });
        for (const input of [slider, field]) input.addEventListener("keydown", (event) => this.key(event, k));
      });
      this.jumps();
    }

    /** A value as a hand means it: in small round steps. */
    snapped(k, value) {
      const { high, step } = this.view.sliders[k];
      if (!(value > 0)) return 0;
      if (value >= high) return high;
      return Math.min(Math.max(clean(Math.round(value / (step / 10)) * (step / 10)), 0), high);
    }

    jumps() {
      const { view } = this, [best, ...rest] = [view.best.values[0], ...view.maxima], { what } = view;
      const apart = (value) => Math.abs(value - best) > SAME * view.sliders[0].high;
      const wanted = [];
      if (this.values.length > 1) {
        wanted.push([`Best ${what}s`, view.best.values]);
        if (view.today) wanted.push(["Today", view.today]);
      } else {
        wanted.push([`Best ${what} ${figure(best)}`, [best]]);
        if (view.today) wanted.push([`Today ${figure(view.today[0])}`, view.today]);
        for (const value of rest.filter(apart).slice(0, MOST_MAXIMA)) wanted.push([`Local maximum ${figure(value)}`, [value]]);
      }
      this.buttons = wanted.map(([name, values]) => {
        const button = make(this.find(".jumps"), "button", { type: "button" }, name);
        button.addEventListener("click", () => this.go(values));
        return [button, values];
      });
      this.back = make(this.find(".jumps").parentElement, "button", { type: "button", class: "back" }, "Market as in the file");
      this.back.addEventListener("click", () => this.change(new Map()));
    }

    /** Arrows move by a small round step, with Page Up and Page Down by ten. */
    key(event, k) {
      const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }, { slider } = this.rows[k];
      if (event.target === slider) Object.assign(steps, { ArrowRight: 1, ArrowLeft: -1 });
      const by = steps[event.key], { step, cap } = this.view.sliders[k];
      if (by === undefined || event.ctrlKey || event.altKey || event.metaKey || !(step > 0)) return;
      event.preventDefault();
      const at = this.values[k] / step, next = by > 0 ? Math.floor(at + 1e-6) + by : Math.ceil(at - 1e-6) + by;
      this.move(k, Math.min(Math.max(clean(next * step), 0), cap));
    }

    /** Sliders for the rest of the market, made when they are first asked for. */
    others() {
      const details = this.find(".others"), holder = this.find(".knobs");
      details.addEventListener("toggle", () => {
        if (!details.open || holder.children.length) return;
        this.inputs = this.knobs.map((knob) => {
          const { name, label, low, high } = knob, box = make(holder, "label", {}, `${label[0].toUpperCase()}${label.slice(1)}`);
          const row = make(box, "div"), step = round((high - low) / 2000);
          const slider = make(row, "input", { type: "range", step: "any", min: low, max: high, "aria-label": label, autocomplete: "off" });
          const field = make(row, "input", { type: "number", step: "any", "aria-label": label, autocomplete: "off" });
          const to = (value) => this.change(new Map(this.changes).set(name, value));
          slider.addEventListener("input", () => to(clean(Math.round(Number(slider.value) / step) * step)));
          field.addEventListener("change", () => {
            const value = field.valueAsNumber, least = name.startsWith("value.") ? -Infinity : name.startsWith("price.") ? 0 : Number.MIN_VALUE;
            if (value >= least) to(value);
            else field.value = figure(this.changes.has(name) ? this.changes.get(name) : knob.base, 6);
          });
          return { knob, slider, field };
        });
        this.place();
      });
    }

    /** Other figures of the market; the decisions stay. */
    change(changes) {
      for (const { name, base } of this.knobs) if (changes.get(name) === base) changes.delete(name);
      this.changes = changes;
      this.market = altered(this.file, this.knobs, changes);
      if (this.map) this.map.restart(this.market);
      this.go(this.values);
    }

    /** Put all inputs where the state is; while someone types into one, it is left alone. */
    place(typing = -1) {
      this.rows.forEach(({ slider, field }, k) => {
        const text = figure(this.values[k], 6);
        if (k !== typing) field.value = text;
        slider.value = this.values[k];
        slider.setAttribute("aria-valuetext", text);
      });
      for (const input of this.inputs || []) {
        const { name, base } = input.knob, value = this.changes.has(name) ? this.changes.get(name) : base;
        if (input.shown === value) continue;
        input.shown = value;
        input.slider.value = value;
        input.field.value = figure(value, 6);
      }
      this.back.hidden = !this.changes.size;
    }

    tables() {
      const { view } = this;
      this.providers = new Table(this.find("table.providers"), ["provider", "price", "load", "% of all", "congestion", "vs best"], view.providers.map((one) => one.name), [], [1, 4]);
      this.users = new Table(this.find("table.users"), ["user", "demand", "to leader", "% of own", "state", "vs best"], view.users.map((one) => one.name), [4], [1, 3]);
      for (const row of this.providers.rows.slice(0, view.own)) row[0].parentElement.classList.add("own");
    }

    /** Pictures are drawn as wide as they can be, once they can be seen. */
    watch() {
      const observer = new ResizeObserver((entries) => {
        for (const { target, contentRect } of entries) {
          const picture = this.pictures.find((one) => one.holder === target), width = Math.round(contentRect.width);
          if (width > 0 && width !== picture.width) {
            picture.width = width;
            picture.draw(this.curve && this.curve.done ? this.curve : null);
            picture.show(this.now);
            this.work();
          }
        }
      });
      this.pictures.forEach(({ holder }) => observer.observe(holder));
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.map && this.map.svg && this.map.paint());
    }

    /** Move one decision. */
    move(k, value, typing = false) {
      this.moving = k;
      this.go(this.values.map((old, which) => (which === k ? value : old)), typing ? k : -1);
    }

    /** Show the market where its leader decides these. */
    go(values, typing = -1) {
      const before = this.values;
      try {
        this.found = equilibria.solve(this.market, values, this.found);
      } catch (failure) {
        this.find(".held").textContent = `Not solved at ${this.view.told(values)}: ${failure.message}.`;
        return;
      }
      this.values = [...values];
      this.now = this.view.fold(this.found);
      this.place(typing);
      for (const [button, at] of this.buttons) button.setAttribute("aria-pressed", String(at.every((value, k) => value === this.values[k])));
      this.tiles();
      const held = this.curve && this.curve.holds(this.market, this.values, this.moving);
      if (!held) this.curve = new Curve(this.view, this.market, this.values, this.moving);
      this.find(".curves").classList.toggle("stale", !this.curve.done);
      for (const picture of this.pictures) if (picture !== this.flows) picture.show(this.now);
      this.next();
      this.say(before);
      clearTimeout(this.calm);
      if (this.view.users.length + this.view.providers.length <= AT_ONCE) return this.settle();
      if (held) this.work();
      this.calm = setTimeout(() => this.settle(), CALM_MS);
    }

    /** Show what takes longer than a frame where many are named, flows and tables, and go on with a new curve. */
    settle() {
      clearTimeout(this.calm);
      this.flows.show(this.now);
      this.cells();
      this.all(".at").forEach((element) => { element.textContent = this.now.told; });
      this.work();
    }

    /** What is left to compute of pictures, as long as a frame allows; the rest, and all of the map, in the next ones. */
    work(later = false) {
      const end = performance.now() + FRAME_MS, { map } = this;
      while (!this.curve.done && performance.now() < end) {
        this.curve.work();
        if (this.curve.done) {
          this.curves.draw(this.curve);
          this.curves.show(this.now);
          this.find(".curves").classList.remove("stale");
          this.next();
        }
      }
      while (later && this.curve.done && map && !map.done && performance.now() < end) map.work();
      const left = !this.curve.done || (map && !map.done);
      if (left && !this.asked) {
        this.asked = true;
        requestAnimationFrame(() => {
          this.asked = false;
          this.work(true);
        });
      }
    }

    next() {
      const { curve, view } = this;
      if (view.sliders.length > 1) this.find(".moves").textContent = view.sliders[curve.k].name;
      this.find(".next").textContent = curve.done ? curve.next(this.values[curve.k]) : "";
      const others = view.sliders.filter((_, k) => k !== curve.k).map(({ name }, k) => `${name} ${figure(this.values[k < curve.k ? k : k + 1])}`);
      const moved = this.changes.size ? `${this.changes.size} ${this.changes.size > 1 ? "figures" : "figure"} of the market moved. ` : "";
      this.find(".held").textContent = moved + (others.length ? `Curve along ${view.sliders[curve.k].name}; held: ${others.join(", ")}.` : "");
    }

    tiles() {
      const { view, now } = this, best = view.best.profit;
      const tell = (name, value, text) => {
        const data = this.find(name);
        data.value = String(value);
        data.textContent = text;
      };
      tell(".profit", now.profit, figure(now.profit, 5));
      tell(".share", best > 0 ? now.profit / best : "", percent(now.profit, best));
      tell(".load", now.load, figure(now.load, 5));
      tell(".using", now.using, String(now.using));
      this.find(".of-demand").textContent = `${percent(now.load, now.demand)} of all`;
      this.find(".of-users").textContent = `of ${this.market.demand.length}`;
      this.find(".part-bar span").style.width = best > 0 ? `${100 * Math.max(0, Math.min(1, now.profit / best))}%` : "0";
      this.all(".marginal").forEach((element, k) => {
        const { profit, elasticity } = equilibria.marginal(this.found, k);
        element.dataset.value = String(profit);
        const sells = elasticity === null ? "" : `, its volume ${signed(elasticity, SAME)} %`;
        element.textContent = this.values[k] > 0 ? `1 % more: profit ${signed(NEAR * this.values[k] * profit, SAME * best)}${sells}` : "";
      });
    }

    /** What each user has to do with the leader, in the explanation's words. */
    states() {
      const { view, now, moving } = this, { cap } = view.sliders[moving];
      const near = (factor) => {
        const values = this.values.map((value, k) => (k === moving ? Math.min(factor * value, cap) : value));
        return view.fold(equilibria.solve(this.market, values, this.found)).flow;
      };
      const dearer = near(1 + NEAR), cheaper = near(1 - NEAR), uses = (flow, i) => view.toLeader(flow[i]) > 0;
      return view.users.map((user, i) => {
        if (!user.named) return "-";
        if (!uses(now.flow, i)) return uses(cheaper, i) ? "joining" : "away";
        if (!uses(dearer, i)) return "leaving";
        return now.flow[i].some((flow, j) => j >= view.own && flow > 0) ? "shared" : "captive";
      });
    }

    cells() {
      const { view, now } = this, before = view.best, least = SAME * now.demand, states = this.states();
      const largest = Math.max(...now.loads, ...before.loads);
      view.providers.forEach((provider, j) => {
        const load = now.loads[j], congested = provider.named && this.market.congestionWeight[0] > 0;
        this.providers.show(j, [
          view.asked(provider, now.found),
          figure(load),
          percent(load, now.demand).replace(" %", ""),
          congested ? figure(load / this.market.capacity[provider.at]) : "-",
          signed(load - before.loads[j], least),
        ], load);
        this.providers.bar(j, load / largest);
      });
      view.users.forEach((user, i) => {
        const flow = view.toLeader(now.flow[i]), demand = now.demands[i];
        this.users.show(i, [
          figure(demand), figure(flow), percent(flow, demand).replace(" %", ""), states[i], signed(flow - view.toLeader(before.flow[i]), least),
        ], flow);
        this.users.bar(i, flow / demand);
      });
    }

    /** Tell who listens, and the address, once the state rests. */
    say(before) {
      clearTimeout(this.timer);
      const { now, view } = this, moved = this.values.some((value, k) => value !== before[k]) || this.changes.size;
      const text = `At ${now.told}: profit ${figure(now.profit)}, ${percent(now.profit, view.best.profit)} of the best; load ${figure(now.load)}.`;
      this.shared();
      this.timer = setTimeout(() => {
        this.find(".said").textContent = text;
        if (moved && !this.article.hidden) history.replaceState(null, "", `#${this.fragment()}`);
      }, REST_MS);
    }

    share() {
      const details = this.find(".state");
      details.addEventListener("toggle", () => this.shared());
      this.find(".has-source").hidden = !this.view.source;
      for (const button of this.all(".copy")) {
        button.addEventListener("click", () => {
          const field = button.previousElementSibling;
          field.select();
          if (navigator.clipboard) navigator.clipboard.writeText(field.value).catch(() => document.execCommand("copy"));
          else document.execCommand("copy");
        });
      }
    }

    shared() {
      if (!this.find(".state").open) return;
      this.find(".link").value = `${location.href.split("#")[0]}#${this.fragment()}`;
      this.find(".command").value = this.command();
    }

    /** The state as what follows `#` in a link: the market, each decision, each figure that was moved. */
    fragment() {
      const told = new URLSearchParams({ market: this.view.name });
      this.view.sliders.forEach(({ name }, k) => told.set(`set.${name}`, String(this.values[k])));
      for (const [name, value] of this.changes) told.set(name, String(value));
      return told.toString();
    }

    /** Take over the state of a link; what it does not say is as it opens. */
    follow(told) {
      const number = (name, low, high) => {
        const value = told.has(name) ? Number(told.get(name)) : NaN;
        return value >= low && value <= high ? value : null;
      };
      const values = this.view.sliders.map(({ name, cap }, k) => number(`set.${name}`, 0, cap) ?? this.view.best.values[k]);
      const changes = new Map();
      for (const { name } of this.knobs) {
        const least = name.startsWith("value.") ? -Number.MAX_VALUE : name.startsWith("price.") ? 0 : Number.MIN_VALUE;
        const value = number(name, least, Number.MAX_VALUE);
        if (value !== null) changes.set(name, value);
      }
      this.values = values;
      this.change(changes);
      this.settle();
    }

    /** The command that gives this state: of prices alone their equilibrium, of others the profit `today` of a change. */
    command() {
      const { view } = this, outside = view.outside === null ? [] : ["--outside", String(view.outside)];
      const prices = [...view.sliders.map(({ name }, k) => [name, this.values[k]])];
      let only = !view.before.length;
      for (const [name, value] of this.changes) {
        if (name.startsWith("price.")) prices.push([name.slice("price.".length), value]);
        else only = false;
      }
      if (only) {
        const given = prices.flatMap(([name, value]) => ["--price", `${name}=${value}`]);
        return ["prillm-or", "equilibrium", view.source, ...outside, ...given].map(word).join(" ");
      }
      const lines = [...view.before, JSON.stringify(this.changed())].map(word).join(" ");
      return `printf '%s\\n' ${lines} | ${["prillm-or", "watch", view.source, ...outside].map(word).join(" ")}`;
    }

    /** The state as a change of `watch`, of what differs from the file. */
    changed() {
      const { market, file } = this, { users: ids, providers: names } = this.view.ids, { components } = this.view;
      const prices = equilibria.pricesAt(market, this.values), providers = {}, users = {};
      const put = (to, name, key, value) => { to[name] = { ...to[name], [key]: value }; };
      const list = (price) => (components.length ? Object.fromEntries(price.map((one, c) => [components[c], one])) : price[0]);
      prices.forEach((price, j) => {
        if (price.some((one, c) => one !== file.price[j][c])) put(providers, names[j], "price", list(price));
        for (const key of ["capacity", "value"]) if (market[key][j] !== file[key][j]) put(providers, names[j], key, market[key][j]);
      });
      market.demand.forEach((demand, i) => { if (demand !== file.demand[i]) put(users, ids[i], "demand", demand); });
      return { ...(Object.keys(providers).length ? { providers } : {}), ...(Object.keys(users).length ? { users } : {}) };
    }
  }

  const articles = [...document.querySelectorAll("article")], parts = articles.map((article, place) => new Part(article, place));
  const choose = document.getElementById("choose");
  const show = () => articles.forEach((article, place) => { article.hidden = choose !== null && String(place) !== choose.value; });
  /** The state that the address tells, if it tells one. */
  const follow = () => {
    const told = new URLSearchParams(location.hash.slice(1)), place = parts.findIndex(({ view }) => view.name === told.get("market"));
    if (place < 0) return;
    if (choose) choose.value = String(place);
    parts[place].follow(told);
    show();
  };
  if (choose) {
    choose.parentElement.hidden = false;
    choose.addEventListener("change", show);
  }
  show();
  follow();
  addEventListener("hashchange", follow);
})();
