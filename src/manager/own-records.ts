/**
 * What callers ask of themselves: their keypair and their account. Clients do so all the time, so what many
 * requests ask for at once is read together. Nothing is remembered: a read begins after it was asked for.
 */
import type { Sql } from 'postgres';
import { BatchQueue } from './batch-queue.ts';
import type { Caller } from './http/route.ts';
import { type KeypairRecord, keypairsByKey } from './keypair/service.ts';
import { type UserRecord, usersById } from './user/service.ts';

/** Records of one query. */
const MAX_TOGETHER = 500;
const MAX_WAITING = 50_000;

function together<Row>(
  read: (keys: readonly string[]) => Promise<readonly Row[]>,
  keyOf: (row: Row) => string,
): BatchQueue<string, Row | null> {
  return new BatchQueue<string, Row | null>({
    write: async (keys) => {
      const rows = new Map((await read([...new Set(keys)])).map((row) => [keyOf(row), row]));
      return keys.map((key) => rows.get(key) ?? null);
    },
    weightOf: () => 1,
    maxWeight: MAX_TOGETHER,
    maxWaiting: MAX_WAITING,
    isOfOneItem: () => false,
  });
}

export class OwnRecords {
  readonly #keypairs: BatchQueue<string, KeypairRecord | null>;
  readonly #users: BatchQueue<string, UserRecord | null>;

  constructor(sql: Sql) {
    this.#keypairs = together(
      (keys) => keypairsByKey(sql, keys),
      (row) => row.access_key,
    );
    this.#users = together(
      (ids) => usersById(sql, ids),
      (row) => row.uuid,
    );
  }

  /** The keypair that the caller signs with; null when it is gone. Shared: it must not be changed. */
  keypair({ accessKey }: Pick<Caller, 'accessKey'>): Promise<KeypairRecord | null> {
    return this.#keypairs.submit(accessKey);
  }

  /** The caller's account; null when it is gone. Shared: it must not be changed. */
  user({ userId }: Pick<Caller, 'userId'>): Promise<UserRecord | null> {
    return this.#users.submit(userId);
  }
}
