/** The SQL of sessions' scheduling history. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2FieldTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';

export const schedulingResults = [
  'SUCCESS',
  'FAILURE',
  'STALE',
  'NEED_RETRY',
  'EXPIRED',
  'GIVE_UP',
  'SKIPPED',
] as const;

const optionalTime = v.nullish(v.pipe(v.string(), v.toDate()), null);
const subStep = v.object({
  step: v.string(),
  result: v.picklist(schedulingResults),
  error_code: v.nullish(v.string(), null),
  message: v.nullish(v.string(), null),
  started_at: optionalTime,
  ended_at: optionalTime,
});

const historyRow = v.object({
  id: v.string(),
  session_id: v.string(),
  phase: v.string(),
  from_status: v.nullable(v.string()),
  to_status: v.nullable(v.string()),
  result: v.picklist(schedulingResults),
  error_code: v.nullable(v.string()),
  message: v.nullable(v.string()),
  sub_steps: v.array(subStep),
  attempts: v.number(),
  created_at: v.date(),
  updated_at: v.date(),
});
/** One entry: what was tried with a session, and what came of it. */
export type SessionHistoryRow = v.InferOutput<typeof historyRow>;

const columns = (sql: Sql): Fragment => sql`
  h.id, h.session_id, h.phase, h.from_status, h.to_status, h.result, h.error_code, h.message,
  h.sub_steps, h.attempts, h.created_at, h.updated_at`;

const fields = (sql: Sql): V2FieldTable => ({
  id: { kind: 'uuid', column: sql`h.id` },
  sessionId: { kind: 'uuid', column: sql`h.session_id` },
  phase: { kind: 'text', column: sql`h.phase` },
  fromStatus: { kind: 'enum', column: sql`h.from_status` },
  toStatus: { kind: 'enum', column: sql`h.to_status` },
  result: { kind: 'enum', column: sql`h.result` },
  errorCode: { kind: 'text', column: sql`h.error_code` },
  message: { kind: 'text', column: sql`h.message` },
  createdAt: { kind: 'time', column: sql`h.created_at` },
  updatedAt: { kind: 'time', column: sql`h.updated_at` },
});

const histories: V2ListShape = {
  columns,
  from: (sql) => sql`session_scheduling_history h`,
  fields,
  orders: (sql) => ({ CREATED_AT: sql`h.created_at`, UPDATED_AT: sql`h.updated_at` }),
  newest: (sql) => sql`h.created_at`,
  key: (sql) => sql`h.id`,
  keyType: 'uuid',
};

/**
 * One page of history, newest first unless ordered.
 * @param sessionId only of this session; null: of all, which is for superadmins.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export async function selectSessionHistory(
  sql: Sql,
  sessionId: string | null,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<SessionHistoryRow>> {
  const scope = sessionId === null ? sql`true` : sql`h.session_id = ${sessionId}::uuid`;
  const source = v2Source(sql, histories, query, wish, scope);
  return mapListed(await selectListPage<object>(sql, source, wish), (row) =>
    v.parse(historyRow, row),
  );
}
