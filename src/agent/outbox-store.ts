/**
 * What the agent must not forget when it is killed, in one SQLite file: events the manager has not
 * acknowledged, kernels whose end was begun, and kernels whose start was reported.
 */
import { Database } from 'bun:sqlite';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import * as v from 'valibot';
import { UserError } from '../common/errors.ts';
import { type AgentEvent, type AgentEventBody, agentEvent } from '../common/protocol/manager.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kernel_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS ends (
    kernel_id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    body TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS started (kernel_id TEXT PRIMARY KEY);
`;

export type KernelEnd = Extract<AgentEventBody, { kind: 'kernel-terminated' }>;

const storedBody = v.pipe(v.string(), v.parseJson(), agentEvent.entries.body);

function parseEnd(text: string): KernelEnd {
  const body = v.parse(storedBody, text);
  if (body.kind !== 'kernel-terminated')
    throw new Error(`'${body.kind}' is not the end of a kernel`);
  return body;
}

const eventRow = v.object({ seq: v.number(), body: v.string() });
const endRow = v.object({ kernel_id: v.string(), session_id: v.string(), body: v.string() });
const kernelRow = v.object({ kernel_id: v.string(), body: v.string() });
const countRow = v.object({ count: v.number() });
const storedEvent = v.pipe(v.string(), v.parseJson(), v.omit(agentEvent, ['seq']));

/** Steps on the way that only make progress visible; the full state says the same later. */
export const PROGRESS_KINDS: readonly AgentEventBody['kind'][] = [
  'kernel-preparing',
  'kernel-pulling',
  'kernel-pulled',
  'kernel-creating',
];

export type NewEvent = Omit<AgentEvent, 'seq'>;

export interface BegunEnd {
  readonly kernelId: string;
  readonly sessionId: string;
  readonly end: KernelEnd;
}

export class OutboxStore {
  readonly #db: Database;
  readonly #maxEvents: number;

  /**
   * @param firstSeq where numbering starts in a new file. Taking the time in milliseconds keeps it
   *   growing even when the file was lost.
   * @throws UserError when the file can't be opened.
   */
  constructor(path: string, options: { firstSeq: number; maxEvents: number }) {
    this.#maxEvents = options.maxEvents;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      this.#db = new Database(path, { create: true, strict: true });
      this.#db.run('PRAGMA journal_mode = WAL');
      // Safe against a killed process; a power cut may take the last events, and the full state
      // in the next heartbeat makes up for them.
      this.#db.run('PRAGMA synchronous = NORMAL');
      this.#db.run('PRAGMA busy_timeout = 2000');
      this.#db.run(SCHEMA);
      this.#db.run(
        `INSERT INTO sqlite_sequence (name, seq)
         SELECT 'events', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'events')`,
        [options.firstSeq],
      );
    } catch (error) {
      throw new UserError(`cannot open the agent's state file ${path}: ${error}`, {
        hint: 'Check that the folder is writable and the disk is not full.',
        cause: error,
      });
    }
  }

  close(): void {
    this.#db.close();
  }

  get size(): number {
    return v.parse(countRow, this.#db.query('SELECT count(*) AS count FROM events').get()).count;
  }

  /** @returns how many older events had to be given up to stay within the bound. */
  append(event: NewEvent): number {
    return this.#db.transaction(() => {
      this.#insert(event);
      return this.#trim();
    })();
  }

  /** Appends `kernel-started` once per kernel. @returns false when it was reported before. */
  appendStarted(event: NewEvent): boolean {
    return this.#db.transaction(() => {
      const { changes } = this.#db.run('INSERT OR IGNORE INTO started (kernel_id) VALUES (?)', [
        event.kernelId,
      ]);
      if (changes > 0) this.#insert(event);
      return changes > 0;
    })();
  }

  /** Whether the kernel's start was reported, and its end not yet. */
  wasStarted(kernelId: string): boolean {
    return this.#db.query('SELECT 1 FROM started WHERE kernel_id = ?').get(kernelId) !== null;
  }

  #insert(event: NewEvent): void {
    this.#db.run('INSERT INTO events (kernel_id, kind, body) VALUES (?, ?, ?)', [
      event.kernelId,
      event.body.kind,
      JSON.stringify(event),
    ]);
  }

  #trim(): number {
    const excess = this.size - this.#maxEvents;
    if (excess <= 0) return 0;
    const marks = PROGRESS_KINDS.map(() => '?').join(', ');
    const { changes } = this.#db.run(
      `DELETE FROM events WHERE seq IN
       (SELECT seq FROM events WHERE kind IN (${marks}) ORDER BY seq LIMIT ?)`,
      [...PROGRESS_KINDS, excess],
    );
    if (changes < excess) {
      this.#db.run(
        'DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)',
        [excess - changes],
      );
    }
    return excess;
  }

  /** The oldest events in order, at most `maxCount` and about `maxBytes`; at least one if any. */
  oldest(maxCount: number, maxBytes: number): AgentEvent[] {
    const events: AgentEvent[] = [];
    let size = 0;
    const rows = this.#db.query('SELECT seq, body FROM events ORDER BY seq LIMIT ?');
    for (const row of rows.iterate(maxCount)) {
      const { seq, body } = v.parse(eventRow, row);
      size += body.length;
      if (events.length > 0 && size > maxBytes) break;
      events.push({ seq, ...v.parse(storedEvent, body) });
    }
    return events;
  }

  acknowledge(seq: number): void {
    this.#db.run('DELETE FROM events WHERE seq <= ?', [seq]);
  }

  /** Kernels whose end the manager has not acknowledged yet. */
  unacknowledgedEnds(): { kernelId: string; sessionId: string }[] {
    const rows = this.#db
      .query("SELECT kernel_id, body FROM events WHERE kind = 'kernel-terminated'")
      .all();
    return v.parse(v.array(kernelRow), rows).map(({ kernel_id: kernelId, body }) => ({
      kernelId,
      sessionId: v.parse(storedEvent, body).sessionId,
    }));
  }

  /** Records that the kernel is about to be removed from the host, and why. */
  beginEnd({ kernelId, sessionId, end }: BegunEnd): void {
    this.#db.run('INSERT OR REPLACE INTO ends (kernel_id, session_id, body) VALUES (?, ?, ?)', [
      kernelId,
      sessionId,
      JSON.stringify(end),
    ]);
  }

  /** Ends that were begun and not finished, by an agent that was killed in between. */
  begunEnds(): BegunEnd[] {
    const rows = this.#db.query('SELECT kernel_id, session_id, body FROM ends').all();
    return v.parse(v.array(endRow), rows).map((row) => ({
      kernelId: row.kernel_id,
      sessionId: row.session_id,
      end: parseEnd(row.body),
    }));
  }

  /** Appends the kernel's end and forgets about it, in one step. */
  finishEnd(event: NewEvent): number {
    return this.#db.transaction(() => {
      this.#db.run('DELETE FROM ends WHERE kernel_id = ?', [event.kernelId]);
      this.#db.run('DELETE FROM started WHERE kernel_id = ?', [event.kernelId]);
      this.#insert(event);
      return this.#trim();
    })();
  }
}
