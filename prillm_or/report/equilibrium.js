// The users' equilibrium of a market, and what its leader earns at it: the method of `users/equilibrium.py`, in a page.
//
// A market here is plain data: of n users `demand`, `count`, `dispersion`, `mix` (n lists of C) and the weights; of m
// providers `price` and `cost` (m lists of C), `capacity`, `value`, `spread` (their factor of dispersion); of pairs `delay`
// and, where some user has values of its own, `own` (null where it has none); then the leader's `decisions`, and whether
// they are `factors`. Nothing here knows of a page, or changes what it is given.
//
// Costs, levels and congestion are kept as unevaluated sums of two numbers, of some 32 digits together, as in
// `users/digits.py`: flows are widths times small differences of large numbers. Newton's method then is one loop. On a
// support the flows' residuals are solved for, and the slacks afterwards tell the next support; once it stays, the same
// step is iterative refinement.
"use strict";
const equilibria = (() => {
  const HALVES = 2 ** 27 + 1, FULL_STEPS = 20, MOST_STEPS = 500, GUESS_ROUNDS = 2;
  const ROUNDING = 16 * Number.EPSILON, NO_SLACK = 2 ** -96, STILL = 1e-12, MOST_PIECES = 20000, NUDGE = 1e-9;

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  /** A number of twice the digits, the sum of `head` and `tail`, that is changed in place. */
  class Double {
    set(head, tail = 0) {
      this.head = head;
      this.tail = tail;
      return this;
    }

    plus(head, tail = 0) {
      const total = this.head + head, rounded = total - this.head;
      const rest = (this.head - (total - rounded)) + (head - rounded) + (this.tail + tail), first = total + rest;
      return this.set(first, rest - (first - total));
    }

    /** Add a product of two numbers. */
    plusProduct(one, other) {
      const head = one * other;
      return this.plus(head, lost(one, other, head));
    }

    times(by) {
      const head = this.head * by, rest = lost(this.head, by, head) + this.tail * by;
      return this.set(head).plus(rest);
    }

    over(by) {
      const head = this.head / by, back = head * by;
      const rest = (((this.head - back) - lost(head, by, back)) + this.tail) / by;
      return this.set(head).plus(rest);
    }
  }

  /** What rounding took of a product, by halves of the digits. */
  function lost(one, other, product) {
    const a = HALVES * one - (HALVES * one - one), c = HALVES * other - (HALVES * other - other), b = one - a, d = other - c;
    return b * d - (((product - a * c) - b * c) - a * d);
  }

  /** Prices of all providers, m lists, when the leader decides `values`. */
  function pricesAt(market, values) {
    const prices = market.price.map((list) => [...list]);
    market.decisions.forEach(({ provider, component }, k) => {
      if (market.factors) prices[provider] = market.price[provider].map((price) => price * values[k]);
      else prices[provider][component] = values[k];
    });
    return prices;
  }

  /** Put what a unit of user i's volume costs it at provider j by a price list, in scaled money, into `total`. */
  function offset(total, market, i, j, list) {
    const mix = market.mix[i], own = market.own && market.own[i][j];
    total.set(0);
    for (let c = 0; c < mix.length; c += 1) total.plusProduct(mix[c], list[c]);
    total.times(market.priceWeight[i]).plusProduct(market.delayWeight[i], market.delay[i][j]);
    return total.plus(-(typeof own === "number" ? own : market.value[j])).over(scaleOf(market, i));
  }

  const isCongested = (market) => market.congestionWeight[0] > 0;
  const scaleOf = (market, i) => (isCongested(market) ? market.congestionWeight[i] : 1);
  const known = new WeakMap();

  /** What no decision changes, worked out once: offsets of pairs at the prices of the market, and widths. */
  function pairsOf(market) {
    if (known.has(market)) return known.get(market);
    const n = market.demand.length, m = market.price.length;
    const [head, tail, width] = [0, 1, 2].map(() => new Float64Array(n * m)), cost = new Double();
    let stiffness = 1;
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < m; j += 1) {
        const pair = i * m + j;
        offset(cost, market, i, j, market.price[j]);
        const taste = (market.dispersion[i] * market.spread[j]) / (scaleOf(market, i) * market.demand[i]);
        head[pair] = cost.head;
        tail[pair] = cost.tail;
        width[pair] = 1 / ((isCongested(market) ? 1 / (market.capacity[j] * market.count[i]) : 0) + taste);
      }
    }
    if (isCongested(market)) for (let pair = 0; pair < n * m; pair += 1) stiffness = Math.max(stiffness, width[pair] / market.capacity[pair % m]);
    known.set(market, { n, m, head, tail, width, stiffness });
    return known.get(market);
  }

  /** The users in scaled money, where the leader decides `values`. */
  function problemOf(market, values) {
    const { n, m, width, stiffness, ...offsets } = pairsOf(market), [head, tail] = [offsets.head.slice(), offsets.tail.slice()];
    const prices = pricesAt(market, values), cost = new Double();
    for (const j of new Set(market.decisions.map((decision) => decision.provider))) {
      for (let i = 0; i < n; i += 1) {
        offset(cost, market, i, j, prices[j]);
        head[i * m + j] = cost.head;
        tail[i * m + j] = cost.tail;
      }
    }
    const { demand, capacity } = market;
    return { market, values, prices, n, m, congested: isCongested(market), head, tail, width, stiffness, demand, capacity };
  }

  /** K on a support, see `users/laplacian.py`: the longer side is eliminated, the rest factored. */
  class Laplacian {
    constructor(problem, support) {
      const { n, m, width } = problem;
      this.problem = problem;
      this.byProvider = m <= n;
      this.of = Array.from({ length: n }, (_, i) => {
        const mine = [];
        for (let j = 0; j < m; j += 1) if (support[i * m + j]) mine.push(j);
        return mine;
      });
      this.user = new Float64Array(n);
      this.provider = Float64Array.from(problem.congested ? problem.capacity : new Array(m).fill(Infinity));
      this.of.forEach((mine, i) => mine.forEach((j) => {
        this.user[i] += width[i * m + j];
        this.provider[j] += width[i * m + j];
      }));
      if (problem.congested) this.factor();
    }

    /** Sides of a pair with the shorter one first: its rows are those of the system that is left. */
    lists() {
      const { n, m } = this.problem;
      if (this.byProvider) return this.of.map((mine, i) => mine.map((j) => [j, i * m + j]));
      const found = Array.from({ length: m }, () => []);
      for (let i = 0; i < n; i += 1) for (const j of this.of[i]) found[j].push([i, i * m + j]);
      return found;
    }

    factor() {
      const { width } = this.problem, size = this.byProvider ? this.problem.m : this.problem.n;
      const [short, long] = this.byProvider ? [this.provider, this.user] : [this.user, this.provider];
      const schur = Array.from({ length: size }, (_, row) => {
        const entries = new Float64Array(size);
        entries[row] = short[row];
        return entries;
      });
      this.lists().forEach((mine, k) => mine.forEach(([row, pair], place) => {
        const part = -width[pair] / long[k];
        for (let next = place; next < mine.length; next += 1) schur[row][mine[next][0]] += part * width[mine[next][1]];
      }));
      for (let k = 0; k < size; k += 1) {
        const top = schur[k];
        if (!(top[k] > 0)) throw new Error("scales too far apart");
        for (let row = k + 1; row < size; row += 1) {
          if (top[row] === 0) continue;
          const part = top[row] / top[k], entries = schur[row];
          for (let column = row; column < size; column += 1) entries[column] -= part * top[column];
        }
      }
      this.schur = schur;
    }

    /** The system that is left, solved in place. */
    short(right) {
      const { schur } = this, size = right.length;
      for (let k = 0; k < size; k += 1) {
        const part = right[k] / schur[k][k];
        if (part !== 0) for (let row = k + 1; row < size; row += 1) right[row] -= schur[k][row] * part;
      }
      for (let k = size - 1; k >= 0; k -= 1) {
        let value = right[k];
        for (let column = k + 1; column < size; column += 1) value -= schur[k][column] * right[column];
        right[k] = value / schur[k][k];
      }
      return right;
    }

    /** K (a, b) = (user, provider). */
    solve(user, provider) {
      const { n, m, width, congested } = this.problem, a = new Float64Array(n), b = new Float64Array(m);
      const times = (found, by, each) => this.of.forEach((mine, i) => {
        for (const j of mine) found[each ? j : i] += width[i * m + j] * by[each ? i : j];
      });
      if (!congested) return [a.map((_, i) => user[i] / this.user[i]), b];
      if (this.byProvider) {
        b.set(provider);
        times(b, user.map((value, i) => value / this.user[i]), true);
        this.short(b);
        a.set(user);
        times(a, b, false);
        return [a.map((value, i) => value / this.user[i]), b];
      }
      a.set(user);
      times(a, provider.map((value, j) => value / this.provider[j]), false);
      this.short(a);
      b.set(provider);
      times(b, a, true);
      return [a, b.map((value, j) => value / this.provider[j])];
    }
  }

  /** Give users whom a support leaves without a provider their cheapest one. */
  function serveAll(problem, support, congestion) {
    const { n, m, head } = problem;
    for (let i = 0; i < n; i += 1) {
      let best = i * m, served = false;
      for (let j = 0; j < m && !served; j += 1) {
        served = support[i * m + j] === 1;
        if (head[i * m + j] + congestion[j] < head[best] + congestion[best - i * m]) best = i * m + j;
      }
      if (!served) support[best] = 1;
    }
    return support;
  }

  /** Support to start from: what each user would use at the congestion of n equal users with the least offsets. */
  function firstGuess(problem) {
    const { n, m, head, width, demand, capacity, congested } = problem;
    const best = new Float64Array(m).fill(Infinity), total = new Float64Array(m), support = new Uint8Array(n * m);
    for (let pair = 0; pair < n * m; pair += 1) {
      best[pair % m] = Math.min(best[pair % m], head[pair]);
      total[pair % m] += width[pair];
    }
    const each = total.map((all, j) => 1 / ((congested ? 1 / capacity[j] : 0) + 1 / all));
    let level = Infinity, asked = sum(demand), taken = 0;
    for (const j of [...best.keys()].sort((one, other) => best[one] - best[other])) {
      if (best[j] >= level) break;
      asked += each[j] * best[j];
      taken += each[j];
      level = asked / taken;
    }
    const congestion = best.map((least, j) => (congested ? Math.max(level - least, 0) / (1 + capacity[j] / total[j]) : 0));
    for (let i = 0; i < n; i += 1) {
      let high = Infinity;
      for (let round = 0; round <= GUESS_ROUNDS; round += 1) {
        let wanted = demand[i], wide = 0;
        for (let j = 0; j < m; j += 1) {
          const cost = head[i * m + j] + congestion[j];
          if (cost < high) {
            wanted += width[i * m + j] * cost;
            wide += width[i * m + j];
          }
        }
        if (wide > 0) high = wanted / wide;
      }
      for (let j = 0; j < m; j += 1) support[i * m + j] = Number(head[i * m + j] + congestion[j] < high);
    }
    return serveAll(problem, support, congestion);
  }

  const sizeOf = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

  /** Where Newton's method is: levels and congestion with their tails, the slacks there, and the support it works on. */
  class Point {
    constructor(problem, support) {
      const { n, m } = problem;
      Object.assign(this, { problem, support, room: new Float64Array(n * m) });
      Object.assign(this, { level: new Float64Array(n), levelTail: new Float64Array(n) });
      Object.assign(this, { congestion: new Float64Array(m), congestionTail: new Float64Array(m) });
    }

    get size() {
      return sizeOf(this.level) + sizeOf(this.congestion);
    }

    /** The slacks: level less offset less congestion, of which no digit is lost. */
    setRooms() {
      const { n, m, head, tail } = this.problem, { level, levelTail, congestion, congestionTail, room } = this;
      for (let i = 0; i < n; i += 1) {
        for (let j = 0; j < m; j += 1) {
          const pair = i * m + j, first = level[i] - head[pair], back = first - level[i];
          const lost = (level[i] - (first - back)) - (head[pair] + back);
          const second = first - congestion[j], more = second - first;
          const also = (first - (second - more)) - (congestion[j] + more);
          room[pair] = second + (lost + also + levelTail[i] - tail[pair] - congestionTail[j]);
        }
      }
    }

    /** What flows on the support miss of the demands, and loads are above those that would congest so. */
    residuals() {
      const { n, m, width, demand, capacity, congested } = this.problem, { congestion, congestionTail } = this;
      const short = Float64Array.from(demand), over = new Float64Array(m);
      for (let pair = 0; pair < n * m; pair += 1) {
        if (!this.support[pair]) continue;
        const flow = width[pair] * this.room[pair];
        short[(pair / m) | 0] -= flow;
        over[pair % m] += flow;
      }
      if (!congested) over.fill(0);
      else for (let j = 0; j < m; j += 1) over[j] -= capacity[j] * (congestion[j] + congestionTail[j]);
      return [short, over];
    }

    move([user, provider], length = 1) {
      const moved = new Double();
      for (const [values, tails, by] of [[this.level, this.levelTail, user], [this.congestion, this.congestionTail, provider]]) {
        by.forEach((step, k) => {
          moved.set(values[k], tails[k]).plus(length * step);
          values[k] = moved.head;
          tails[k] = moved.tail;
        });
      }
    }

    /** The support by the signs of the slacks, those in doubt, a part of the levels, as they are; null where it stays. */
    after(part) {
      const { room } = this, support = this.support.slice(), doubt = part * this.size;
      let moved = false;
      for (let pair = 0; pair < room.length; pair += 1) {
        if (!(Math.abs(room[pair]) > doubt) || (room[pair] > 0) === (support[pair] === 1)) continue;
        support[pair] = 1 - support[pair];
        moved = true;
      }
      if (moved) serveAll(this.problem, support, this.congestion);
      return moved && support.some((used, pair) => used !== this.support[pair]) ? support : null;
    }

    /** Whether the slacks here are those of the support. */
    confirms(part) {
      this.setRooms();
      return this.after(part) === null;
    }

    /** How far to go along a step, 1, 1/2, 1/4, ... of it, so that Psi still rises there; see `equilibrium.py`. */
    damped([user, provider]) {
      const { n, m, head, width, demand, capacity } = this.problem;
      const slope = (length) => {
        let rise = 0;
        const excess = this.congestion.map((value, j) => -capacity[j] * (value + length * provider[j]));
        for (let i = 0; i < n; i += 1) {
          let unmet = demand[i];
          for (let j = 0; j < m; j += 1) {
            const room = this.level[i] + length * user[i] - head[i * m + j] - this.congestion[j] - length * provider[j];
            const flow = width[i * m + j] * Math.max(room, 0);
            unmet -= flow;
            excess[j] += flow;
          }
          rise += unmet * user[i];
        }
        return rise + (this.problem.congested ? sum(excess.map((value, j) => value * provider[j])) : 0);
      };
      const enough = -1e-9 * slope(0);
      let length = 1;
      while (slope(length) < enough && length > 1e-9) length /= 2;
      return length;
    }

    /** Raise users whom congestion leaves without any slack to where they ask for their demand at most. */
    lift() {
      const { n, m, head, width, demand } = this.problem;
      for (let i = 0; i < n; i += 1) {
        let least = Infinity, wide = 0;
        for (let j = 0; j < m; j += 1) {
          least = Math.min(least, head[i * m + j] + this.congestion[j]);
          wide += width[i * m + j];
        }
        if (this.level[i] > least) continue;
        this.level[i] = least + demand[i] / wide;
        this.levelTail[i] = 0;
      }
    }
  }

  /** The equilibrium of a market's users where its leader decides `values`; `start` is one of them at other figures. */
  function solve(market, values, start = null) {
    const problem = problemOf(market, values);
    const point = new Point(problem, start ? start.support : firstGuess(problem));
    if (start) {
      point.level.set(start.level);
      point.congestion.set(start.congestion);
    }
    // Of the same widths, K on the support to start from is factored already.
    let laplacian = start && start.problem.width === problem.width ? start.laplacian : new Laplacian(problem, point.support);
    const coarse = ROUNDING * problem.stiffness;
    // Fresh: the point is not yet the top of what Psi is on this support.
    let before = Infinity, fresh = true, refined = false;
    for (let step = 0, supports = 0, finer = 0; step < MOST_STEPS; step += 1) {
      point.setRooms();
      const after = step === 0 ? null : point.after(refined ? NO_SLACK : coarse);
      if (refined) finer += 1;
      if (after && finer <= FULL_STEPS) {
        point.support = after;
        laplacian = new Laplacian(problem, after);
        [before, fresh, refined] = [Infinity, true, false];
        supports += 1;
      } else if (refined) {
        return equilibriumOf(point, laplacian);
      }
      const [short, over] = point.residuals();
      const missing = Math.max(...short.map((value, i) => Math.abs(value / problem.demand[i]))) + sizeOf(over) / sum(problem.demand);
      refined = !fresh && !(missing < before / 2 && missing > NO_SLACK);
      if (refined) continue;
      if (!fresh) before = missing;
      const change = laplacian.solve(short, over);
      const length = supports <= FULL_STEPS || !fresh || finer ? 1 : point.damped(change);
      point.move(change);
      fresh = length < 1 && !point.confirms(coarse);
      if (fresh) {
        point.move(change, length - 1);
        point.lift();
      }
    }
    throw new Error("the users' equilibrium did not settle");
  }

  /** Flows that meet the demands, loads, and what a next solve starts from. */
  function equilibriumOf(point, laplacian) {
    const { problem, support, level, congestion, room } = point, { n, m, width, demand } = problem;
    const flow = new Float64Array(n * m), load = new Float64Array(m);
    for (let i = 0; i < n; i += 1) {
      const mine = laplacian.of[i];
      let routed = 0;
      for (const j of mine) routed += flow[i * m + j] = Math.max(width[i * m + j] * room[i * m + j], 0);
      if (!(routed > 0)) routed = flow[i * m + mine[0]] = 1;  // a demand beyond all digits
      for (const j of mine) load[j] += flow[i * m + j] *= demand[i] / routed;
    }
    return { problem, support, level, congestion, room, flow, load, laplacian };
  }

  const leads = (market, j) => market.leader.includes(j);

  /** What the leader earns on a unit of each user's volume at each of its providers. */
  function margin({ problem: { market, prices } }, i, j) {
    return sum(market.mix[i].map((units, c) => units * (prices[j][c] - market.cost[j][c])));
  }

  /** Profit: of each billed component price less cost, times the volume; see `market/decisions.py`. */
  function profit(found) {
    const { market, n, m } = found.problem;
    let total = 0;
    for (let i = 0; i < n; i += 1) for (const j of market.leader) total += found.flow[i * m + j] * margin(found, i, j);
    return total;
  }

  /** What one more of a decision adds to what a unit of volume costs user i. */
  function rise(market, k, i) {
    const { provider, component } = market.decisions[k];
    return market.factors ? sum(market.mix[i].map((units, c) => units * market.price[provider][c])) : market.mix[i][component];
  }

  /** The volume that a decision is the price of: billed of its component, or sales at the list that a factor multiplies. */
  function sold({ problem: { market, n, m } }, k, flow) {
    const { provider } = market.decisions[k];
    let total = 0;
    for (let i = 0; i < n; i += 1) total += rise(market, k, i) * flow[i * m + provider];
    return total;
  }

  /** How slacks and flows answer a decision, on one side of it. */
  function rates(found, k) {
    const { market, n, m, width } = found.problem, { provider } = market.decisions[k];
    const rho = Float64Array.from({ length: n }, (_, i) => (market.priceWeight[i] * rise(market, k, i)) / scaleOf(market, i));
    const user = new Float64Array(n), pulled = new Float64Array(m);
    for (let i = 0; i < n; i += 1) {
      if (!found.support[i * m + provider]) continue;
      user[i] = width[i * m + provider] * rho[i];
      pulled[provider] -= user[i];
    }
    const [level, congestion] = found.laplacian.solve(user, pulled);
    const room = new Float64Array(n * m), flow = new Float64Array(n * m);
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < m; j += 1) {
        const pair = i * m + j;
        room[pair] = level[i] - congestion[j] - (j === provider ? rho[i] : 0);
        if (found.support[pair]) flow[pair] = width[pair] * room[pair];
      }
    }
    return { room, flow, still: STILL * sizeOf(rho) };
  }

  /** Slope of a total over the leader's flows. */
  function slopeOf({ problem: { market, n, m } }, flow, weigh) {
    let total = 0;
    for (let i = 0; i < n; i += 1) for (const j of market.leader) total += flow[i * m + j] * weigh(i, j);
    return total;
  }

  /** What one more of a decision earns, and its own elasticity: of what is sold at it. */
  function marginal(found, k) {
    const { market, values } = found.problem, { flow } = rates(found, k), volume = sold(found, k, found.flow);
    const earned = volume + slopeOf(found, flow, (i, j) => margin(found, i, j));
    return { profit: earned, elasticity: volume > 0 ? (values[k] * sold(found, k, flow)) / volume : null, market };
  }

  /** Pieces along a decision from `low` to `high`, on each of which flows are linear: values and slopes at `at`. */
  function* pieces(market, values, k, low, high) {
    const nudge = NUDGE * (high - low || 1);
    let found = null, from = low;
    for (let count = 0, at = low; count < MOST_PIECES; count += 1, at = Math.max(from, at) + nudge) {
      found = solve(market, values.map((value, which) => (which === k ? at : value)), found);
      const { room, flow, still } = rates(found, k);
      let next = Infinity;
      for (let pair = 0; pair < room.length; pair += 1) {
        const sign = found.support[pair] ? -1 : 1;
        if (sign * room[pair] > still) next = Math.min(next, Math.max(-sign * found.room[pair], 0) / (sign * room[pair]));
      }
      const to = Math.min(at + next, high);
      const load = sum(market.leader.map((j) => found.load[j])), earned = profit(found), volume = sold(found, k, found.flow);
      yield {
        from, to, at, load, profit: earned, support: found.support,
        loadSlope: slopeOf(found, flow, () => 1),
        profitSlope: volume + slopeOf(found, flow, (i, j) => margin(found, i, j)),
        bend: sold(found, k, flow),
      };
      if (to >= high) return;
      from = to;
    }
  }

  /** Load and profit on a piece. */
  const loadOn = (piece, value) => piece.load + piece.loadSlope * (value - piece.at);
  const profitOn = (piece, value) => piece.profit + (value - piece.at) * (piece.profitSlope + piece.bend * (value - piece.at));

  return { solve, profit, sold, marginal, pieces, loadOn, profitOn, pricesAt, leads };
})();
if (typeof module !== "undefined") module.exports = equilibria;
