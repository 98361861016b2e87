/** What comes after a plan: the snapshot with its placements made, at a later time. Pure. */
import { addSlots, type Slots, subtractSlots } from '../../common/slots.ts';
import { type Plan, type PlannedPlacement, plan } from './plan.ts';
import type {
  EndingSession,
  Occupancy,
  Ownership,
  PendingSession,
  PlacedSession,
  Snapshot,
} from './snapshot.ts';

type Sign = 1 | -1;
const combine = (sign: Sign) => (sign === 1 ? addSlots : subtractSlots);

function floored(slots: Slots): Slots {
  return new Map([...slots].map(([slot, amount]) => [slot, amount < 0n ? 0n : amount]));
}

interface Held extends Ownership {
  readonly kernels: readonly { readonly agentId: string; readonly slots: Slots }[];
}

/** Agents and books after sessions came (1) or went (-1). */
class Ledger {
  readonly #agents: Map<string, Snapshot['agents'][number]>;
  readonly #slots: Record<'keypairs' | 'users' | 'projects' | 'domains', Map<string, Slots>>;
  readonly #counts: Record<'sessions' | 'sftpSessions', Map<string, number>>;

  constructor(snapshot: Snapshot) {
    const { occupancy } = snapshot;
    this.#agents = new Map(snapshot.agents.map((agent) => [agent.id, agent]));
    this.#slots = {
      keypairs: new Map(occupancy.keypairs),
      users: new Map(occupancy.users),
      projects: new Map(occupancy.projects),
      domains: new Map(occupancy.domains),
    };
    this.#counts = {
      sessions: new Map(occupancy.sessions),
      sftpSessions: new Map(occupancy.sftpSessions),
    };
  }

  book(session: Held, sign: Sign): void {
    const counted = new Set<string>();
    for (const { agentId, slots } of session.kernels) {
      const agent = this.#agents.get(agentId);
      if (!agent) continue;
      const isFirst = !counted.has(agentId);
      counted.add(agentId);
      this.#agents.set(agentId, {
        ...agent,
        free: floored(combine(sign === 1 ? -1 : 1)(agent.free, slots)),
        sessions: Math.max(0, agent.sessions + (isFirst ? sign : 0)),
      });
    }
    const isSystem = session.sessionType === 'system';
    const counts = this.#counts[isSystem ? 'sftpSessions' : 'sessions'];
    counts.set(session.accessKey, Math.max(0, (counts.get(session.accessKey) ?? 0) + sign));
    if (isSystem) return;
    const total = session.kernels.reduce<Slots>(
      (sum, item) => addSlots(sum, item.slots),
      new Map(),
    );
    const add = (map: Map<string, Slots>, key: string) =>
      map.set(key, floored(combine(sign)(map.get(key) ?? new Map(), total)));
    add(this.#slots.keypairs, session.accessKey);
    add(this.#slots.users, session.userId);
    add(this.#slots.projects, session.projectId);
    add(this.#slots.domains, session.domainName);
  }

  get agents(): Snapshot['agents'] {
    return [...this.#agents.values()];
  }

  get occupancy(): Occupancy {
    return { ...this.#slots, ...this.#counts };
  }
}

function placed(session: PendingSession, { kernels }: PlannedPlacement): Held {
  return {
    ...session,
    kernels: kernels.map(({ kernelId, agentId }) => ({
      agentId,
      slots: session.kernels.find(({ id }) => id === kernelId)?.requested ?? new Map(),
    })),
  };
}

/**
 * Who makes room by the plan, or does already. How long that takes is not known, but it is short; in
 * most cases a few seconds.
 */
function leavers(snapshot: Snapshot, { preemptions }: Plan): Set<PlacedSession> {
  return new Set([
    ...snapshot.placed.filter(({ leaving }) => leaving !== null),
    ...preemptions.flatMap(({ victims }) => victims),
  ]);
}

/**
 * The snapshot after the plan is applied, at `now`. Sessions that are over by then are gone, and those
 * that were placed end after their longest duration, where they have one. So are those that make room.
 */
export function advance(snapshot: Snapshot, decided: Plan, now: Date): Snapshot {
  const ledger = new Ledger(snapshot);
  const started = new Map(decided.placements.map((item) => [item.sessionId, item]));
  const gone = leavers(snapshot, decided);
  const goneIds = new Set([...gone].map(({ id }) => id));
  for (const session of gone) ledger.book(session, -1);
  const ending: EndingSession[] = snapshot.ending.filter(({ id }) => !goneIds.has(id));
  const cleared = new Map(
    decided.preemptions.map(({ session, agentIds }) => [session.id, agentIds]),
  );
  for (const session of snapshot.pending) {
    const placement = started.get(session.id);
    if (!placement) continue;
    const held = placed(session, placement);
    ledger.book(held, 1);
    if (session.durationSec === null) continue;
    const endsAt = new Date(snapshot.now.getTime() + session.durationSec * 1000);
    ending.push({ ...held, id: session.id, endsAt });
  }
  for (const session of ending) if (session.endsAt <= now) ledger.book(session, -1);
  return {
    ...snapshot,
    now,
    agents: ledger.agents,
    occupancy: ledger.occupancy,
    pending: snapshot.pending
      .filter(({ id }) => !started.has(id))
      .map((session) => ({
        ...session,
        clearedAgents: cleared.get(session.id) ?? session.clearedAgents,
      })),
    placed: snapshot.placed.filter((session) => !gone.has(session)),
    ending: ending.filter(({ endsAt }) => endsAt > now),
  };
}

/** When something changes next by the clock alone: a session ends, or may start. Null: never. */
function nextChange({ now, ending, pending }: Snapshot): Date | null {
  let next: Date | null = null;
  const consider = (time: Date | null) => {
    if (time && time > now && (next === null || time < next)) next = time;
  };
  for (const { endsAt } of ending) consider(endsAt);
  for (const { startsAt } of pending) consider(startsAt);
  return next;
}

/** Sessions judged at most while looking ahead, over all the steps. */
const MAX_JUDGED = 50_000;
const MAX_STEPS = 64;

/**
 * When each of the sessions would start by the ends that are known, if nobody else comes and everybody
 * runs as long as they may. Those that are not in the result start at no time that can be known.
 * @param first the plan for the snapshot itself.
 */
export function estimateStarts(
  snapshot: Snapshot,
  first: Plan,
  ids: ReadonlySet<string>,
): Map<string, Date> {
  const out = new Map<string, Date>();
  let [current, decided] = [snapshot, first];
  const steps = Math.min(MAX_STEPS, Math.ceil(MAX_JUDGED / Math.max(1, snapshot.pending.length)));
  for (let step = 0; step <= steps; step += 1) {
    for (const { sessionId } of decided.placements) {
      if (ids.has(sessionId)) out.set(sessionId, current.now);
    }
    if (out.size === ids.size) break;
    const isMakingRoom = leavers(current, decided).size > 0;
    current = advance(current, decided, current.now);
    if (isMakingRoom) {
      decided = plan(current);
      continue;
    }
    const next = nextChange(current);
    if (next === null) break;
    current = advance(current, { ...decided, placements: [] }, next);
    decided = plan(current);
  }
  return out;
}
