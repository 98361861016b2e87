/** The SQL of templates; every query takes whose templates the caller may see or change. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

export type TemplateKind = 'TASK' | 'CLUSTER';

/**
 * Whose templates. all: everybody's. domain: of a domain. reader: those of a user and of the projects
 * it belongs to. owner: those of a user.
 */
export type TemplateScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'reader' | 'owner'; readonly userId: string };

function within(sql: Db, scope: TemplateScope) {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`t.domain_name = ${scope.domainName}`;
    case 'owner':
      return sql`t.user_uuid = ${scope.userId}`;
    case 'reader':
      return sql`(t.user_uuid = ${scope.userId} OR t.group_id IN (
        SELECT group_id FROM association_groups_users WHERE user_id = ${scope.userId}))`;
  }
}

const templateRow = v.object({
  id: v.string(),
  name: v.nullable(v.string()),
  created_at: v.nullable(v.date()),
  domain_name: v.string(),
  group_id: v.nullable(v.string()),
  group_name: v.nullable(v.string()),
  user_uuid: v.string(),
  user_email: v.nullable(v.string()),
  template: v.record(v.string(), v.unknown()),
});
export type TemplateRow = v.InferOutput<typeof templateRow>;

const selectTemplates = (sql: Db) => sql`
  SELECT t.id, t.name, t.created_at, t.domain_name, t.group_id, g.name AS group_name, t.user_uuid,
    u.email AS user_email, t.template
  FROM session_templates t
  LEFT JOIN users u ON u.uuid = t.user_uuid LEFT JOIN groups g ON g.id = t.group_id`;

/** Templates within the scope, the oldest first. */
export async function selectList(
  sql: Db,
  kind: TemplateKind,
  scope: TemplateScope,
  filter: { readonly groupId: string | null; readonly limit: number },
): Promise<TemplateRow[]> {
  const rows = await sql`
    ${selectTemplates(sql)}
    WHERE t.is_active AND t.type = ${kind} AND ${within(sql, scope)}
      AND (${filter.groupId}::uuid IS NULL OR t.group_id = ${filter.groupId}::uuid)
    ORDER BY t.created_at, t.id LIMIT ${filter.limit}`;
  return v.parse(v.array(templateRow), [...rows]);
}

/** @param lock keeps others from changing the row until the transaction ends. */
export async function selectOne(
  sql: Db,
  kind: TemplateKind,
  scope: TemplateScope,
  id: string,
  lock = false,
): Promise<TemplateRow | null> {
  const [row] = await sql`
    ${selectTemplates(sql)}
    WHERE t.id = ${id} AND t.is_active AND t.type = ${kind} AND ${within(sql, scope)}
    ${lock ? sql`FOR NO KEY UPDATE OF t` : sql``}`;
  return row ? v.parse(templateRow, row) : null;
}

export interface NewTemplate {
  readonly id: string;
  readonly kind: TemplateKind;
  readonly domainName: string;
  readonly groupId: string;
  readonly userId: string;
  readonly name: string;
  readonly template: object;
}

export async function insertTemplate(sql: Db, item: NewTemplate, now: Date): Promise<void> {
  await sql`
    INSERT INTO session_templates
      (id, created_at, is_active, domain_name, group_id, user_uuid, type, name, template)
    VALUES (${item.id}, ${now}, true, ${item.domainName}, ${item.groupId}, ${item.userId},
      ${item.kind}, ${item.name}, ${jsonText(item.template)}::text::jsonb)`;
}

export async function updateTemplate(
  sql: Db,
  id: string,
  item: Pick<NewTemplate, 'domainName' | 'groupId' | 'userId' | 'name' | 'template'>,
): Promise<void> {
  await sql`
    UPDATE session_templates SET domain_name = ${item.domainName}, group_id = ${item.groupId},
      user_uuid = ${item.userId}, name = ${item.name},
      template = ${jsonText(item.template)}::text::jsonb
    WHERE id = ${id}`;
}

/** Hides a template; its row stays. */
export async function deactivate(sql: Db, id: string): Promise<void> {
  await sql`UPDATE session_templates SET is_active = false WHERE id = ${id}`;
}

/** Templates that a user owns. */
export async function countOwned(sql: Db, userId: string): Promise<number> {
  const [row] = await sql`
    SELECT count(*)::int AS count FROM session_templates WHERE user_uuid = ${userId} AND is_active`;
  return v.parse(v.object({ count: v.number() }), row).count;
}

/** The active user of that id; within a domain unless that is null. */
export async function selectUser(sql: Db, userId: string, domainName: string | null) {
  const [row] = await sql`
    SELECT uuid, role, domain_name FROM users
    WHERE uuid = ${userId} AND status = 'active'
      AND (${domainName}::varchar IS NULL OR domain_name = ${domainName})`;
  const shape = v.object({ uuid: v.string(), role: v.string(), domain_name: v.string() });
  return row ? v.parse(shape, row) : null;
}

/** Which of the ids are task templates within the scope. */
export async function selectKnownTasks(
  sql: Sql | Db,
  scope: TemplateScope,
  ids: readonly string[],
): Promise<Set<string>> {
  const rows = await sql`
    SELECT t.id FROM session_templates t
    WHERE t.id = ANY(${sql.array([...ids])}::uuid[]) AND t.is_active AND t.type = 'TASK'
      AND ${within(sql, scope)}`;
  return new Set(v.parse(v.array(v.object({ id: v.string() })), [...rows]).map(({ id }) => id));
}
