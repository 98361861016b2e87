/** SQL about the errors that clients report. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

export const severities = ['critical', 'error', 'warning'] as const;
export type Severity = (typeof severities)[number];

/** Whose entries a caller reaches. */
export type ErrorLogScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'user'; readonly userId: string };

export interface ErrorReport {
  readonly severity: Severity;
  readonly source: string;
  readonly message: string;
  readonly contextLang: string;
  readonly contextEnv: unknown;
  readonly requestUrl: string | null;
  readonly requestStatus: number | null;
  readonly traceback: string | null;
}

const entry = v.object({
  id: v.string(),
  created_at: v.date(),
  severity: v.picklist(severities),
  source: v.string(),
  user: v.nullable(v.string()),
  is_read: v.boolean(),
  is_cleared: v.boolean(),
  message: v.string(),
  context_lang: v.string(),
  context_env: v.record(v.string(), v.unknown()),
  request_url: v.nullable(v.string()),
  request_status: v.nullable(v.number()),
  traceback: v.nullable(v.string()),
});
export type ErrorLogEntry = v.InferOutput<typeof entry>;

export async function insertEntry(sql: Db, userId: string, report: ErrorReport): Promise<void> {
  await sql`
    INSERT INTO error_logs (severity, source, "user", is_read, is_cleared, message, context_lang,
                            context_env, request_url, request_status, traceback)
    VALUES (${report.severity}, ${report.source}, ${userId}, false, false, ${report.message},
            ${report.contextLang}, ${jsonText(report.contextEnv)}::text::jsonb,
            ${report.requestUrl}, ${report.requestStatus}, ${report.traceback})`;
}

function reachable(sql: Db, scope: ErrorLogScope) {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`EXISTS (SELECT FROM users u
                          WHERE u.uuid = e."user" AND u.domain_name = ${scope.domainName})`;
    case 'user':
      return sql`e."user" = ${scope.userId}`;
  }
}

/** What is listed: users do not see again what they cleared. */
const listed = (sql: Db, scope: ErrorLogScope) =>
  scope.kind === 'user'
    ? sql`${reachable(sql, scope)} AND NOT coalesce(e.is_cleared, false)`
    : reachable(sql, scope);

/** Entries, newest first. */
export async function selectEntries(
  sql: Db,
  scope: ErrorLogScope,
  page: { readonly limit: number; readonly offset: number },
): Promise<ErrorLogEntry[]> {
  const rows = await sql`
    SELECT e.id, coalesce(e.created_at, now()) AS created_at,
           coalesce(e.severity::text, 'error') AS severity, coalesce(e.source, '') AS source,
           e."user", coalesce(e.is_read, false) AS is_read,
           coalesce(e.is_cleared, false) AS is_cleared, coalesce(e.message, '') AS message,
           coalesce(e.context_lang, '') AS context_lang,
           CASE jsonb_typeof(e.context_env) WHEN 'object' THEN e.context_env ELSE '{}' END
             AS context_env,
           e.request_url, e.request_status, e.traceback
      FROM error_logs e
     WHERE ${listed(sql, scope)}
     ORDER BY e.created_at DESC, e.id
     LIMIT ${page.limit} OFFSET ${page.offset}`;
  return v.parse(v.array(entry), [...rows]);
}

export async function countEntries(sql: Db, scope: ErrorLogScope): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM error_logs e WHERE ${listed(sql, scope)}`;
  return row?.count ?? 0;
}

export async function markRead(sql: Db, ids: readonly string[]): Promise<void> {
  await sql`UPDATE error_logs SET is_read = true WHERE id = ANY (${[...ids]}::uuid[])`;
}

/** @returns whether there is such an entry within reach. */
export async function markCleared(sql: Db, scope: ErrorLogScope, id: string): Promise<boolean> {
  const { count } = await sql`
    UPDATE error_logs e SET is_cleared = true WHERE e.id = ${id} AND ${reachable(sql, scope)}`;
  return count > 0;
}
