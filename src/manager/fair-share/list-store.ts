/** Lists of fair shares and of usage as SQL. Who has used nothing yet has a share all the same. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage, selectListPages } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';
import { bucketTable, shareTable } from './level-store.ts';
import type { Level } from './levels.ts';

export interface ShareRow {
  /** Name of the domain, id of the project or the user. */
  readonly owner_key: string;
  readonly resource_group: string;
  readonly domain_name: string;
  readonly project_id: string | null;
  readonly user_uuid: string | null;
  /** Decimal text; null means the group's default. */
  readonly weight: string | null;
  readonly fair_share_factor: string;
  readonly normalized_usage: string;
  readonly total_decayed_usage: unknown;
  readonly resource_weights: unknown;
  /** `YYYY-MM-DD`; null while nothing has been calculated. */
  readonly lookback_start: string | null;
  readonly lookback_end: string | null;
  readonly last_calculated_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** A share with a row of its own. */
export type KeptShare = ShareRow & { readonly id: string };

/** Of which group, and within what, shares are listed. */
export interface ShareScope {
  readonly group: string;
  /** For projects and users; any when absent. */
  readonly domainName?: string;
  /** For users. */
  readonly projectId?: string;
}

const shareColumns = (sql: Sql, group: Fragment): Fragment => sql`
  ${group} AS resource_group, s.weight::text AS weight,
  coalesce(s.fair_share_factor, 1)::text AS fair_share_factor,
  coalesce(s.normalized_usage, 0)::text AS normalized_usage,
  coalesce(s.total_decayed_usage, '{}') AS total_decayed_usage,
  coalesce(s.resource_weights, '{}') AS resource_weights,
  s.lookback_start::text AS lookback_start, s.lookback_end::text AS lookback_end,
  s.last_calculated_at, coalesce(s.updated_at, s.created_at, now()) AS updated_at`;

/** What differs between the levels: where owners come from, and what can be asked of them. */
interface LevelList {
  readonly columns: Fragment;
  readonly from: Fragment;
  /** Which owners the scope is about. */
  readonly within: Fragment;
  /** Whether the owner may use the group. */
  readonly mayUse: Fragment;
  readonly key: Fragment;
  readonly keyType: 'uuid' | 'text';
  readonly fields: V2FieldTable;
  readonly orders: V2OrderTable;
}

const common = (sql: Sql, group: string): V2FieldTable => ({
  resourceGroup: { kind: 'text', column: sql`${group}::text` },
});
const text = (column: Fragment) => ({ kind: 'text', column }) as const;
const factor = (sql: Sql): Fragment => sql`coalesce(s.fair_share_factor, 1)`;

function domains(sql: Sql, { group }: ShareScope): LevelList {
  return {
    columns: sql`d.name AS owner_key, d.name AS domain_name, NULL AS project_id,
                 NULL AS user_uuid, coalesce(s.created_at, d.created_at, now()) AS created_at`,
    from: sql`domains d LEFT JOIN ${shareTable(sql, 'domain')} s
                               ON s.domain_name = d.name AND s.resource_group = ${group}`,
    within: sql`true`,
    mayUse: sql`EXISTS (SELECT FROM sgroups_for_domains a
                         WHERE a.domain = d.name AND a.scaling_group = ${group})`,
    key: sql`d.name`,
    keyType: 'text',
    fields: {
      ...common(sql, group),
      domainName: { kind: 'text', column: sql`d.name` },
      domain: {
        kind: 'nested',
        exists: (condition) => condition,
        fields: { isActive: { kind: 'boolean', column: sql`d.is_active` } },
      },
    },
    orders: {
      FAIR_SHARE_FACTOR: factor(sql),
      DOMAIN_NAME: sql`d.name`,
      CREATED_AT: sql`coalesce(s.created_at, d.created_at)`,
      DOMAIN_IS_ACTIVE: sql`d.is_active`,
    },
  };
}

function projects(sql: Sql, { group, domainName }: ShareScope): LevelList {
  return {
    columns: sql`g.id::text AS owner_key, g.domain_name, g.id::text AS project_id,
                 NULL AS user_uuid, coalesce(s.created_at, g.created_at, now()) AS created_at`,
    from: sql`groups g LEFT JOIN ${shareTable(sql, 'project')} s
                              ON s.project_id = g.id AND s.resource_group = ${group}`,
    within: domainName === undefined ? sql`true` : sql`g.domain_name = ${domainName}`,
    mayUse: sql`(EXISTS (SELECT FROM sgroups_for_groups a
                          WHERE a."group" = g.id AND a.scaling_group = ${group})
              OR EXISTS (SELECT FROM sgroups_for_domains a
                          WHERE a.domain = g.domain_name AND a.scaling_group = ${group}))`,
    key: sql`g.id`,
    keyType: 'uuid',
    fields: {
      ...common(sql, group),
      projectId: { kind: 'uuid', column: sql`g.id` },
      domainName: { kind: 'text', column: sql`g.domain_name` },
      project: {
        kind: 'nested',
        exists: (condition) => condition,
        fields: {
          name: { kind: 'text', column: sql`g.name` },
          isActive: { kind: 'boolean', column: sql`g.is_active` },
          type: {
            kind: 'enum',
            column: sql`g.type::text`,
            stored: (member) => member.toLowerCase().replaceAll('_', '-'),
          },
        },
      },
    },
    orders: {
      FAIR_SHARE_FACTOR: factor(sql),
      CREATED_AT: sql`coalesce(s.created_at, g.created_at)`,
      PROJECT_NAME: sql`g.name`,
      PROJECT_IS_ACTIVE: sql`g.is_active`,
    },
  };
}

function users(sql: Sql, { group, projectId = '' }: ShareScope): LevelList {
  return {
    columns: sql`u.uuid::text AS owner_key, u.domain_name, m.group_id::text AS project_id,
                 u.uuid::text AS user_uuid,
                 coalesce(s.created_at, u.created_at, now()) AS created_at`,
    from: sql`users u JOIN association_groups_users m ON m.user_id = u.uuid
              LEFT JOIN ${shareTable(sql, 'user')} s
                     ON s.user_uuid = u.uuid AND s.project_id = m.group_id
                    AND s.resource_group = ${group}`,
    within: sql`m.group_id::text = ${projectId.toLowerCase()}`,
    mayUse: sql`true`,
    key: sql`u.uuid`,
    keyType: 'uuid',
    fields: {
      ...common(sql, group),
      userUuid: { kind: 'uuid', column: sql`u.uuid` },
      projectId: { kind: 'uuid', column: sql`m.group_id` },
      domainName: { kind: 'text', column: sql`u.domain_name` },
      user: {
        kind: 'nested',
        exists: (condition) => condition,
        fields: {
          username: { kind: 'text', column: sql`u.username` },
          email: { kind: 'text', column: sql`u.email` },
          isActive: { kind: 'boolean', column: sql`(u.status = 'active')` },
        },
      },
    },
    orders: {
      FAIR_SHARE_FACTOR: factor(sql),
      CREATED_AT: sql`coalesce(s.created_at, u.created_at)`,
      USER_USERNAME: sql`u.username`,
      USER_EMAIL: sql`u.email`,
    },
  };
}

const LISTS = { domain: domains, project: projects, user: users };

/**
 * The shares of everybody who may use the group, the smallest factor last unless ordered.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectShares(
  sql: Sql,
  level: Level,
  scope: ShareScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ShareRow>> {
  const list = LISTS[level](sql, scope);
  const highest = [{ column: factor(sql), descending: true }];
  return selectListPage(
    sql,
    {
      columns: sql`${list.columns}, ${shareColumns(sql, sql`${scope.group}::text`)}`,
      from: list.from,
      scope: sql`${list.within} AND ${list.mayUse}`,
      filter: v2FilterToSql(sql, query.filter, list.fields),
      order: v2OrderTerms(wish.page.mode, query.orderBy, list.orders, highest),
      key: list.key,
      keyType: list.keyType,
    },
    wish,
  );
}

/** One owner's share, also of one that may not use the group (yet); null when there is no owner. */
export async function selectShare(
  sql: Sql,
  level: Level,
  scope: ShareScope,
  ownerKey: string,
): Promise<ShareRow | null> {
  const list = LISTS[level](sql, scope);
  const key = list.keyType === 'uuid' ? sql`${ownerKey}::uuid` : sql`${ownerKey}::text`;
  const [row] = await sql<ShareRow[]>`
    SELECT ${list.columns}, ${shareColumns(sql, sql`${scope.group}::text`)}
      FROM ${list.from} WHERE ${list.within} AND ${list.key} = ${key}`;
  return row ?? null;
}

/** Where the shares are that are kept, with their owners under the names that `LISTS` gives them. */
const keptFrom = (sql: Sql): Record<Level, Fragment> => ({
  domain: sql`${shareTable(sql, 'domain')} s JOIN domains d ON d.name = s.domain_name`,
  project: sql`${shareTable(sql, 'project')} s JOIN groups g ON g.id = s.project_id`,
  user: sql`${shareTable(sql, 'user')} s JOIN users u ON u.uuid = s.user_uuid
              JOIN association_groups_users m
                ON m.user_id = u.uuid AND m.group_id = s.project_id`,
});

/**
 * The shares of all resource groups that are kept: those of owners who have used something, or have a
 * weight of their own.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectKeptShares(
  sql: Sql,
  level: Level,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<KeptShare>> {
  const list = LISTS[level](sql, { group: '' });
  const fields = { ...list.fields, resourceGroup: text(sql`s.resource_group`) };
  const highest = [{ column: factor(sql), descending: true }];
  return selectListPage(
    sql,
    {
      columns: sql`s.id, ${list.columns}, ${shareColumns(sql, sql`s.resource_group`)}`,
      from: keptFrom(sql)[level],
      scope: sql`true`,
      filter: v2FilterToSql(sql, query.filter, fields),
      order: v2OrderTerms(wish.page.mode, query.orderBy, list.orders, highest),
      key: sql`s.id`,
      keyType: 'uuid',
    },
    wish,
  );
}

export interface BucketRow {
  readonly id: string;
  readonly resource_group: string;
  readonly domain_name: string;
  readonly project_id: string | null;
  readonly user_uuid: string | null;
  /** `YYYY-MM-DD`. */
  readonly period_start: string;
  readonly period_end: string;
  readonly decay_unit_days: number;
  /** Slot name → slot-seconds. */
  readonly resource_usage: unknown;
  readonly capacity_snapshot: unknown;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const bucketFields = (sql: Sql): V2FieldTable => ({
  resourceGroup: { kind: 'text', column: sql`b.resource_group` },
  domainName: { kind: 'text', column: sql`b.domain_name` },
  projectId: { kind: 'uuid', column: sql`b.project_id` },
  userUuid: { kind: 'uuid', column: sql`b.user_uuid` },
  periodStart: { kind: 'date', column: sql`b.period_start` },
  periodEnd: { kind: 'date', column: sql`b.period_end` },
});

/** Whose usage: the owners are the parents of the lists. */
export interface BucketScope {
  readonly group: string;
  /** For users: in this project only. */
  readonly projectId?: string;
}

/** Usage per day, the latest first unless ordered; `scope` is that of the list. */
function buckets(
  sql: Sql,
  level: Level,
  scope: Fragment,
  query: V2Query,
  wish: PageWish,
): ListSource {
  const projectId = level === 'domain' ? sql`NULL` : sql`b.project_id::text`;
  const userId = level === 'user' ? sql`b.user_uuid::text` : sql`NULL`;
  const orders = { PERIOD_START: sql`b.period_start` };
  const latest = [{ column: sql`b.period_start`, descending: true }];
  return {
    columns: sql`b.id, b.resource_group, b.domain_name, ${projectId} AS project_id,
      ${userId} AS user_uuid, b.period_start::text AS period_start,
      b.period_end::text AS period_end, b.decay_unit_days, b.resource_usage,
      b.capacity_snapshot, b.created_at, b.updated_at`,
    from: sql`${bucketTable(sql, level)} b`,
    scope,
    filter: v2FilterToSql(sql, query.filter, bucketFields(sql)),
    order: v2OrderTerms(wish.page.mode, query.orderBy, orders, latest),
    key: sql`b.id`,
    keyType: 'uuid',
  };
}

/** The usage of each owner per day, the latest first unless ordered; by owner. */
export function selectBucketsOf(
  sql: Sql,
  level: Level,
  owners: readonly string[],
  scope: BucketScope,
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<BucketRow>>> {
  const owner = {
    domain: sql`b.domain_name = parent.id`,
    project: sql`b.project_id = parent.id`,
    user: sql`b.user_uuid = parent.id`,
  }[level];
  const inProject =
    scope.projectId === undefined ? sql`true` : sql`b.project_id = ${scope.projectId}`;
  const within = sql`${owner} AND b.resource_group = ${scope.group} AND ${inProject}`;
  const type = level === 'domain' ? 'text' : 'uuid';
  return selectListPages(sql, buckets(sql, level, within, query, wish), wish, {
    ids: owners,
    type,
  });
}

/** The usage of all owners in all resource groups per day. */
export const selectBuckets = (
  sql: Sql,
  level: Level,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<BucketRow>> =>
  selectListPage(sql, buckets(sql, level, sql`true`, query, wish), wish);
