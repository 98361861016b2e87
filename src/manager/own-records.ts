/**
 * What callers ask of themselves: their keypair and their account. Clients do so all the time, so what many
 * requests ask for at once is read together. Nothing is remembered: a read begins after it was asked for.
 */
import type { Sql } from 'postgres';
import { type BatchQueue, readsTogether } from './batch-queue.ts';
import type { Caller } from './http/route.ts';
import { type KeypairRecord, keypairsByKey } from './keypair/service.ts';
import { type UserRecord, usersById } from './user/service.ts';

const itself = (key: string): string => key;

export class OwnRecords {
  readonly #keypairs: BatchQueue<string, KeypairRecord | null>;
  readonly #users: BatchQueue<string, UserRecord | null>;

  constructor(sql: Sql) {
    this.#keypairs = readsTogether((keys) => keypairsByKey(sql, keys), {
      ofKey: itself,
      ofRow: (row) => row.access_key,
    });
    this.#users = readsTogether((ids) => usersById(sql, ids), {
      ofKey: itself,
      ofRow: (row) => row.uuid,
    });
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
