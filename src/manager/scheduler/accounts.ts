/** The books of keypairs, users, projects and domains: what they hold, and what they may. */
import type { Demand, SlotSpace } from './slot-space.ts';
import type { Ownership, SlotLimits, Snapshot } from './snapshot.ts';

export interface SlotAccount {
  /** By slot. */
  readonly used: Float64Array;
  /** By slot, infinite where there is no limit; null: none at all. */
  readonly limit: Float64Array | null;
}

export interface KeypairAccount extends SlotAccount {
  sessions: number;
  sftpSessions: number;
  /** null: unlimited. */
  readonly maxSessions: number | null;
  readonly maxSftpSessions: number | null;
  readonly maxPending: number | null;
  readonly pendingLimit: Float64Array | null;
  /** Sessions that were considered and go on waiting: those ahead in the queue. */
  waitingAhead: number;
  readonly waitingSlots: Float64Array;
}

/** The accounts that one session counts in. */
export interface OwnerAccounts {
  readonly keypair: KeypairAccount;
  readonly user: SlotAccount;
  readonly project: SlotAccount;
  readonly domain: SlotAccount;
}

function limitVector(space: SlotSpace, limits: SlotLimits | null | undefined) {
  if (!limits) return null;
  const out = new Float64Array(space.size);
  out.fill(limits.unnamed === 'forbidden' ? 0 : Number.POSITIVE_INFINITY);
  for (const [name, amount] of limits.slots) {
    const slot = space.indexOf(name);
    if (slot !== undefined) out[slot] = space.down(slot, amount);
  }
  return out;
}

function addTo(used: Float64Array, { slots, amounts }: Demand, sign: 1 | -1): void {
  for (let at = 0; at < slots.length; at += 1) {
    const slot = slots[at] ?? 0;
    used[slot] = (used[slot] ?? 0) + sign * (amounts[at] ?? 0);
  }
}

export class Accounts {
  readonly #space: SlotSpace;
  readonly #snapshot: Snapshot;
  readonly #keypairs = new Map<string, KeypairAccount>();
  readonly #users = new Map<string, SlotAccount>();
  readonly #projects = new Map<string, SlotAccount>();
  readonly #domains = new Map<string, SlotAccount>();

  constructor(space: SlotSpace, snapshot: Snapshot) {
    this.#space = space;
    this.#snapshot = snapshot;
  }

  of(owner: Ownership): OwnerAccounts {
    const { occupancy, userLimits, projectLimits, domainLimits } = this.#snapshot;
    const { accessKey, userId, projectId, domainName } = owner;
    return {
      keypair: this.#keypair(accessKey),
      user: this.#account(this.#users, userId, occupancy.users, userLimits),
      project: this.#account(this.#projects, projectId, occupancy.projects, projectLimits),
      domain: this.#account(this.#domains, domainName, occupancy.domains, domainLimits),
    };
  }

  #account(
    known: Map<string, SlotAccount>,
    key: string,
    held: Snapshot['occupancy']['users'],
    limits: ReadonlyMap<string, SlotLimits>,
  ): SlotAccount {
    const before = known.get(key);
    if (before) return before;
    const account = {
      used: this.#space.vector(held.get(key) ?? new Map()),
      limit: limitVector(this.#space, limits.get(key)),
    };
    known.set(key, account);
    return account;
  }

  #keypair(key: string): KeypairAccount {
    const before = this.#keypairs.get(key);
    if (before) return before;
    const { occupancy, keypairLimits } = this.#snapshot;
    const limits = keypairLimits.get(key);
    const account = {
      used: this.#space.vector(occupancy.keypairs.get(key) ?? new Map()),
      limit: limitVector(this.#space, limits?.slots),
      sessions: occupancy.sessions.get(key) ?? 0,
      sftpSessions: occupancy.sftpSessions.get(key) ?? 0,
      maxSessions: limits?.maxConcurrentSessions ?? null,
      maxSftpSessions: limits?.maxConcurrentSftpSessions ?? null,
      maxPending: limits?.maxPendingSessions ?? null,
      pendingLimit: limitVector(this.#space, limits?.pendingSlots),
      waitingAhead: 0,
      waitingSlots: new Float64Array(this.#space.size),
    };
    this.#keypairs.set(key, account);
    return account;
  }
}

/** Books a placed session. System sessions serve transfers and have no share in the quotas. */
export function bookPlaced(accounts: OwnerAccounts, isSystem: boolean, total: Demand): void {
  const { keypair, user, project, domain } = accounts;
  if (isSystem) {
    keypair.sftpSessions += 1;
    return;
  }
  keypair.sessions += 1;
  for (const account of [keypair, user, project, domain]) addTo(account.used, total, 1);
}

/** Books a session that goes on waiting, for those of its keypair behind it. */
export function bookWaiting({ keypair }: OwnerAccounts, total: Demand): void {
  keypair.waitingAhead += 1;
  addTo(keypair.waitingSlots, total, 1);
}
