/**
 * The rules that a pending session must satisfy before agents are looked at. Pure.
 *
 * Names and rules are upstream's (`sokovan/scheduler/provisioner/validators`), all of which are
 * checked, so that a person learns of every obstacle at once. One differs: upstream's two validators
 * of pending sessions look at a list that is always empty. Here they count the sessions of the same
 * keypair that wait ahead in the queue, so that the first in line is never held by those behind it.
 */
import { formatAmount } from '../../common/slots.ts';
import type { OwnerAccounts, SlotAccount } from './accounts.ts';
import type { Demand, SlotSpace } from './slot-space.ts';
import type { PendingSession } from './snapshot.ts';

/** A session, and the books that it would count in. */
export interface Applicant {
  readonly session: PendingSession;
  readonly isSystem: boolean;
  readonly total: Demand;
  readonly accounts: OwnerAccounts;
}

export interface Rules {
  readonly now: Date;
  readonly space: SlotSpace;
}

/** @returns null when the session passes, else why not, with the numbers. */
type Validator = (applicant: Applicant, rules: Rules) => string | null;

/** One line per slot of which the limit leaves too little. */
function exceeding(
  { slots, amounts }: Demand,
  used: Float64Array,
  limit: Float64Array,
  space: SlotSpace,
): string[] {
  let lines: string[] | undefined;
  for (let at = 0; at < slots.length; at += 1) {
    const slot = slots[at] ?? 0;
    const amount = amounts[at] ?? 0;
    const most = limit[slot] ?? Number.POSITIVE_INFINITY;
    const inUse = used[slot] ?? 0;
    if (inUse + amount <= most) continue;
    const [asked, held, allowed] = [amount, inUse, most].map((count) =>
      formatAmount(space.amount(slot, count)),
    );
    lines ??= [];
    lines.push(`${space.names[slot]}: requested ${asked}, in use ${held}, limit ${allowed}`);
  }
  return lines ?? [];
}

const quota =
  (whose: keyof OwnerAccounts): Validator =>
  ({ isSystem, total, accounts }, { space }) => {
    const { used, limit }: SlotAccount = accounts[whose];
    // System sessions serve transfers; they have a limit of their own and no share in the quotas.
    if (limit === null || isSystem) return null;
    const lines = exceeding(total, used, limit, space);
    return lines.length === 0
      ? null
      : `Your ${whose} resource quota is exceeded (${lines.join('; ')}). End other sessions or ask an administrator for more.`;
  };

const concurrency: Validator = ({ isSystem, accounts: { keypair } }) => {
  const limit = isSystem ? keypair.maxSftpSessions : keypair.maxSessions;
  const count = isSystem ? keypair.sftpSessions : keypair.sessions;
  if (limit === null || count < limit) return null;
  return `You cannot run more than ${limit} concurrent sessions (${count} are active). It starts when one of them ends.`;
};

const dependencies: Validator = ({ session }) => {
  if (session.dependencies.length === 0) return null;
  const waiting = session.dependencies.filter(
    (item) => item.status !== 'TERMINATED' || item.result !== 'SUCCESS',
  );
  if (waiting.length === 0) return null;
  const names = waiting.map((item) => `${item.name} (${item.status}, ${item.result})`);
  return `Waiting dependency sessions to finish as success. (${names.join(', ')})`;
};

const reservedBatch: Validator = ({ session: { sessionType, startsAt } }, { now }) => {
  if (sessionType !== 'batch' || startsAt === null || startsAt <= now) return null;
  return `Before start time: it may start at ${startsAt.toISOString()}.`;
};

const pendingCount: Validator = ({ accounts: { keypair } }) => {
  const { maxPending, waitingAhead } = keypair;
  if (maxPending === null || waitingAhead < maxPending) return null;
  return `You cannot have more than ${maxPending} pending sessions (${waitingAhead} wait ahead of this one). It is considered when one of them starts or is cancelled.`;
};

const pendingResources: Validator = ({ accounts: { keypair } }, { space }) => {
  const { pendingLimit, waitingSlots } = keypair;
  if (pendingLimit === null) return null;
  const lines: string[] = [];
  waitingSlots.forEach((held, slot) => {
    const most = pendingLimit[slot] ?? Number.POSITIVE_INFINITY;
    if (held <= most) return;
    const [asked, allowed] = [held, most].map((count) => formatAmount(space.amount(slot, count)));
    lines.push(`${space.names[slot]}: ${asked} of ${allowed}`);
  });
  return lines.length === 0
    ? null
    : `Your pending sessions ahead of this one ask for more than pending sessions may (${lines.join('; ')}). It is considered when one of them starts or is cancelled.`;
};

/** By upstream's names, in the order in which they are checked. */
export const validators: readonly (readonly [name: string, check: Validator])[] = [
  ['ConcurrencyLimitValidator', concurrency],
  ['SessionDependenciesValidator', dependencies],
  ['DomainResourceLimitValidator', quota('domain')],
  ['GroupResourceLimitValidator', quota('project')],
  ['KeypairResourceLimitValidator', quota('keypair')],
  ['PendingSessionCountLimitValidator', pendingCount],
  ['PendingSessionResourceLimitValidator', pendingResources],
  ['ReservedBatchSessionValidator', reservedBatch],
  ['UserResourceLimitValidator', quota('user')],
];
