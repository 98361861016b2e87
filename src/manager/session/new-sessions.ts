/**
 * What requests for new sessions share: what they read about the same owner, image and resource group
 * at the same time is read once, and the sessions they make are stored together.
 */
import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { BatchQueue, readsTogether } from '../batch-queue.ts';
import { isDatabaseAway } from '../db/errors.ts';
import type { FolderMount } from '../folder/mount.ts';
import type { Image } from '../image/service.ts';
import type { KeypairPolicy } from '../policy/service.ts';
import type { ResourceGroup } from '../resource-group/service.ts';
import { SharedReads } from '../shared-reads.ts';
import {
  type AccountRow,
  type ExistingSession,
  type SessionName,
  selectLiveByName,
} from './enqueue-store.ts';
import { insertSessions, type RecordedSession } from './new-session-store.ts';
import type { AgentCapacity, SlotDefinition } from './resources.ts';

/** What is known of who asks, before the request itself is looked at. */
export interface OwnerFacts {
  readonly project: { readonly id: string; readonly domainName: string };
  readonly policy: KeypairPolicy;
  readonly account: AccountRow | null;
  readonly storedScript: string;
  readonly definitions: ReadonlyMap<string, SlotDefinition>;
}

export interface GroupFacts {
  readonly group: ResourceGroup;
  readonly agents: readonly AgentCapacity[];
}

/** Kernels that one transaction makes, as far as a single session has not more. */
const MAX_KERNELS = 500;
const MAX_WAITING = 10_000;

/** Ids in the one way in which PostgreSQL writes them. */
const nameKey = ({ userId, name }: SessionName): string => `${userId.toLowerCase()} ${name}`;

export class NewSessions {
  readonly owners = new SharedReads<OwnerFacts>();
  readonly images = new SharedReads<Image>();
  readonly groups = new SharedReads<GroupFacts>();
  readonly mounts = new SharedReads<readonly FolderMount[]>();
  readonly #names: BatchQueue<SessionName, ExistingSession | null>;
  readonly #queue: BatchQueue<RecordedSession, null>;

  /** @param sql a pool for statements that go by keys; see `keyedConnections`. */
  constructor(sql: Sql, clock: Clock) {
    this.#names = readsTogether((names) => selectLiveByName(sql, names), {
      ofKey: nameKey,
      ofRow: nameKey,
    });
    this.#queue = new BatchQueue({
      async write(items) {
        await sql.begin((tx) => insertSessions(tx, items, clock.now()));
        return items.map(() => null);
      },
      weightOf: ({ kernels }) => kernels.length,
      maxWeight: MAX_KERNELS,
      maxWaiting: MAX_WAITING,
      isOfOneItem: (error) => !isDatabaseAway(error),
    });
  }

  /** The user's live session of that name. */
  async liveByName(name: SessionName): Promise<ExistingSession | null> {
    return await this.#names.submit(name);
  }

  /** Stores a session, PENDING. @throws what the database throws on it. */
  async store(item: RecordedSession): Promise<void> {
    await this.#queue.submit(item);
  }
}
