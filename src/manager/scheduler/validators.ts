/** The rules a pending session must satisfy before agents are looked at. Pure. */
import { addSlots, formatAmount, type Slots } from '../../common/slots.ts';
import type { KeypairLimits, PendingSession, SlotLimits } from './snapshot.ts';

/** How far planning has come: occupancy grows as sessions are placed. */
export interface PlanningState {
  readonly now: Date;
  readonly keypairs: Map<string, Slots>;
  readonly projects: Map<string, Slots>;
  readonly domains: Map<string, Slots>;
  readonly sessions: Map<string, number>;
  readonly sftpSessions: Map<string, number>;
  readonly keypairLimits: ReadonlyMap<string, KeypairLimits>;
  readonly projectLimits: ReadonlyMap<string, SlotLimits>;
  readonly domainLimits: ReadonlyMap<string, SlotLimits>;
}

/** @returns null when the session passes, else why not, with the numbers. */
type Validator = (session: PendingSession, state: PlanningState) => string | null;

export const totalRequest = (session: PendingSession): Slots =>
  session.kernels.reduce<Slots>((sum, kernel) => addSlots(sum, kernel.requested), new Map());

/** One line per slot of which the limit leaves too little. */
function exceeding(request: Slots, occupied: Slots, limits: SlotLimits): string[] {
  const lines: string[] = [];
  for (const [slot, amount] of request) {
    if (amount === 0n) continue;
    const limit = limits.slots.get(slot) ?? (limits.unnamed === 'forbidden' ? 0n : null);
    const used = occupied.get(slot) ?? 0n;
    if (limit === null || used + amount <= limit) continue;
    const [asked, inUse, most] = [amount, used, limit].map(formatAmount);
    lines.push(`${slot}: requested ${asked}, in use ${inUse}, limit ${most}`);
  }
  return lines;
}

function quota(
  whose: string,
  session: PendingSession,
  occupied: Slots | undefined,
  limits: SlotLimits | undefined,
): string | null {
  // System sessions serve transfers; they have a limit of their own and no share in the quotas.
  if (!limits || session.sessionType === 'system') return null;
  const lines = exceeding(totalRequest(session), occupied ?? new Map(), limits);
  return lines.length === 0
    ? null
    : `Your ${whose} resource quota is exceeded (${lines.join('; ')}). End other sessions or ask an administrator for more.`;
}

const concurrency: Validator = (session, state) => {
  const limits = state.keypairLimits.get(session.accessKey);
  if (!limits) return null;
  const isSftp = session.sessionType === 'system';
  const limit = isSftp ? limits.maxConcurrentSftpSessions : limits.maxConcurrentSessions;
  const count = (isSftp ? state.sftpSessions : state.sessions).get(session.accessKey) ?? 0;
  if (limit === null || count < limit) return null;
  return `You cannot run more than ${limit} concurrent sessions (${count} are active). It starts when one of them ends.`;
};

const dependencies: Validator = (session) => {
  const waiting = session.dependencies.filter(
    (item) => item.status !== 'TERMINATED' || item.result !== 'SUCCESS',
  );
  if (waiting.length === 0) return null;
  const names = waiting.map((item) => `${item.name} (${item.status}, ${item.result})`);
  return `Waiting dependency sessions to finish as success. (${names.join(', ')})`;
};

const reservedBatch: Validator = (session, state) => {
  const { sessionType, startsAt } = session;
  if (sessionType !== 'batch' || startsAt === null || startsAt <= state.now) return null;
  return `Before start time: it may start at ${startsAt.toISOString()}.`;
};

/** By upstream's names, in the order in which they are checked. */
export const validators: Readonly<Record<string, Validator>> = {
  ConcurrencyLimitValidator: concurrency,
  SessionDependenciesValidator: dependencies,
  DomainResourceLimitValidator: (session, state) =>
    quota(
      'domain',
      session,
      state.domains.get(session.domainName),
      state.domainLimits.get(session.domainName),
    ),
  GroupResourceLimitValidator: (session, state) =>
    quota(
      'project',
      session,
      state.projects.get(session.projectId),
      state.projectLimits.get(session.projectId),
    ),
  KeypairResourceLimitValidator: (session, state) =>
    quota(
      'keypair',
      session,
      state.keypairs.get(session.accessKey),
      state.keypairLimits.get(session.accessKey)?.slots,
    ),
  ReservedBatchSessionValidator: reservedBatch,
};
