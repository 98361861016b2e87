/**
 * The order in which waiting sessions are considered. Pure.
 *
 * Higher priorities come first, as upstream has it; upstream then skips all others for this time,
 * while here they follow, so that room which those in front cannot use is not left idle. Within a
 * priority each resource group has its own order (upstream: `sokovan/scheduler/provisioner/sequencers`).
 */
import type { AgentTable } from './agent-table.ts';
import type { Applicant } from './validators.ts';

/** A session in line, with the agents of its resource group. */
export interface Candidate extends Applicant {
  readonly table: AgentTable;
}

/** Sessions of one resource group and one priority. */
interface Queue<C extends Candidate> {
  /** Who is next; undefined when nobody is left. */
  head(): C | undefined;
  /** Takes the head off. */
  shift(): void;
}

const byId = (a: Candidate, b: Candidate) =>
  a.session.id < b.session.id ? -1 : a.session.id > b.session.id ? 1 : 0;
const byAge = (a: Candidate, b: Candidate) =>
  a.session.createdAt.getTime() - b.session.createdAt.getTime() || byId(a, b);

/** Those who have used less of what is due come first: by domain, then project, then user. */
const byFairShare = (a: Candidate, b: Candidate) => {
  const [x, y] = [a.session.fairShare, b.session.fairShare];
  return y.domain - x.domain || y.project - x.project || y.user - x.user || byAge(a, b);
};

class SortedQueue<C extends Candidate> implements Queue<C> {
  readonly #line: readonly C[];
  #at = 0;

  constructor(line: readonly C[]) {
    this.#line = line;
  }

  head(): C | undefined {
    return this.#line[this.#at];
  }

  shift(): void {
    this.#at += 1;
  }
}

/** The largest part that the session's user holds of any slot of the resource group. */
function dominantShare({ accounts, table }: Candidate): number {
  let share = 0;
  accounts.user.used.forEach((held, slot) => {
    const total = table.totals[slot] ?? 0;
    if (total > 0) share = Math.max(share, held / total);
  });
  return share;
}

interface UserLine<C extends Candidate> {
  readonly line: readonly C[];
  at: number;
  /** As last computed; it only grows while a plan does. */
  share: number;
}

/**
 * Dominant resource fairness (Ghodsi et al., NSDI 2011): whoever's dominant share is smallest is
 * next, and shares grow with each placement. Upstream sorts once, which lets one user with an empty
 * account take everything in one go.
 */
class FairQueue<C extends Candidate> implements Queue<C> {
  /** A binary heap, the smallest share at its root. */
  readonly #users: UserLine<C>[] = [];

  constructor(candidates: readonly C[]) {
    const byUser = new Map<string, C[]>();
    for (const candidate of [...candidates].sort(byAge)) {
      const { userId } = candidate.session;
      const line = byUser.get(userId);
      if (line) line.push(candidate);
      else byUser.set(userId, [candidate]);
    }
    for (const line of byUser.values()) {
      this.#push({ line, at: 0, share: line[0] ? dominantShare(line[0]) : 0 });
    }
  }

  head(): C | undefined {
    // Every turn of the loop corrects one share, so there are at most as many as users.
    for (let turns = this.#users.length; turns >= 0; turns -= 1) {
      const [user] = this.#users;
      const first = user?.line[user.at];
      if (!user || !first) return undefined;
      const share = dominantShare(first);
      if (share <= user.share) return first;
      user.share = share;
      this.#sink();
    }
    return undefined;
  }

  shift(): void {
    const [user] = this.#users;
    if (!user) return;
    user.at += 1;
    if (user.at >= user.line.length) {
      const last = this.#users.pop();
      if (last && last !== user) this.#users[0] = last;
    }
    this.#sink();
  }

  #before(a: UserLine<C> | undefined, b: UserLine<C> | undefined): boolean {
    const [x, y] = [a?.line[a.at], b?.line[b.at]];
    if (!a || !b || !x || !y) return false;
    return a.share !== b.share ? a.share < b.share : byAge(x, y) < 0;
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#users[i], this.#users[j]];
    if (!a || !b) return;
    this.#users[i] = b;
    this.#users[j] = a;
  }

  #push(user: UserLine<C>): void {
    this.#users.push(user);
    let at = this.#users.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(this.#users[at], this.#users[parent])) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(): void {
    let at = 0;
    while (at < this.#users.length) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let least = at;
      if (this.#before(this.#users[left], this.#users[least])) least = left;
      if (this.#before(this.#users[right], this.#users[least])) least = right;
      if (least === at) break;
      this.#swap(at, least);
      at = least;
    }
  }
}

function queueOf<C extends Candidate>(candidates: readonly C[]): Queue<C> {
  switch (candidates[0]?.table.rules.sequencer) {
    case 'lifo':
      return new SortedQueue([...candidates].sort((a, b) => byAge(b, a)));
    case 'drf':
      return new FairQueue(candidates);
    case 'fair-share':
      return new SortedQueue([...candidates].sort(byFairShare));
    default:
      return new SortedQueue([...candidates].sort(byAge));
  }
}

/**
 * All sessions, each once: first those for which others had to go, so that it was not for nothing.
 * Between two of them the caller books what became of the first: dominant
 * shares depend on it. Groups of the same priority take turns by the age of whoever is next.
 */
export function* sequence<C extends Candidate>(candidates: readonly C[]): Generator<C, void> {
  const byPriority = (a: C, b: C) => b.session.priority - a.session.priority || byAge(a, b);
  yield* candidates.filter(({ session }) => session.clearedAgents.length > 0).sort(byPriority);
  const others = candidates.filter(({ session }) => session.clearedAgents.length === 0);
  const levels = [...Map.groupBy(others, ({ session }) => session.priority)];
  for (const [, level] of levels.sort(([a], [b]) => b - a)) {
    const queues = [...Map.groupBy(level, ({ table }) => table).values()].map(queueOf);
    for (let left = level.length; left > 0; left -= 1) {
      let first: C | undefined;
      let from: Queue<C> | undefined;
      for (const queue of queues) {
        const head = queue.head();
        if (head && (!first || byAge(head, first) < 0)) [first, from] = [head, queue];
      }
      if (!first || !from) return;
      yield first;
      from.shift();
    }
  }
}
