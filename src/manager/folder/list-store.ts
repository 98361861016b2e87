/** SQL of the lists of folders in GraphQL: filters, orders, scopes and pages. */
import type { Fragment, Sql } from 'postgres';
import {
  type FieldTable,
  filterToSql,
  type ListPage,
  type ListQuery,
  orderTable,
  orderTerms,
  orderToSql,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage } from '../graphql/page-store.ts';
import type { Scope } from '../graphql/scalars.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';
import type { FolderPower } from './rules.ts';
import {
  columns,
  type FolderReach,
  type FolderRecord,
  relations,
  statusColumn,
  type Viewer,
  within,
} from './store.ts';

function fields(sql: Sql): FieldTable {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  // The WebUI writes the names of enums (DELETE_PENDING), older clients what is stored.
  const stored = (value: string) => value.toLowerCase();
  const storedStatus = (value: string) => stored(value).replaceAll('_', '-');
  const word = (column: Fragment) => ({ kind: 'enum', column, stored }) as const;
  const number = (column: Fragment) => ({ kind: 'number', column }) as const;
  const time = (column: Fragment) => ({ kind: 'time', column }) as const;
  return {
    id: { kind: 'uuid', column: sql`f.id` },
    host: text(sql`f.host`),
    quota_scope_id: text(sql`f.quota_scope_id`),
    name: text(sql`f.name`),
    group: { kind: 'uuid', column: sql`f."group"` },
    group_name: text(sql`g.name`),
    user: { kind: 'uuid', column: sql`f."user"` },
    user_email: text(sql`u.email`),
    domain_name: text(sql`f.domain_name`),
    creator: text(sql`f.creator`),
    unmanaged_path: text(sql`f.unmanaged_path`),
    usage_mode: word(sql`f.usage_mode::text`),
    permission: word(sql`coalesce(p.permission, f.permission)::text`),
    ownership_type: word(sql`f.ownership_type::text`),
    max_files: number(sql`f.max_files`),
    max_size: number(sql`f.max_size`),
    cur_size: number(sql`f.cur_size`),
    created_at: time(sql`f.created_at`),
    last_used: time(sql`f.last_used`),
    cloneable: { kind: 'boolean', column: sql`f.cloneable` },
    status: { kind: 'enum', column: statusColumn(sql), stored: storedStatus },
  };
}

/** Which part of the folders in reach a list holds. */
export type FolderSelection =
  | { readonly kind: 'all' }
  /** The viewer's own; of the owner of an access key, if one is given. */
  | { readonly kind: 'owned'; readonly accessKey: string | null }
  /** Shared with the viewer. */
  | { readonly kind: 'invited' }
  /** Of the viewer's projects. */
  | { readonly kind: 'projects' }
  | { readonly kind: 'project'; readonly projectId: string };

function selected(sql: Sql, { userId }: Viewer, selection: FolderSelection): Fragment {
  switch (selection.kind) {
    case 'all':
      return sql`true`;
    case 'owned':
      return selection.accessKey === null
        ? sql`(f.ownership_type = 'user' AND f."user" = ${userId})`
        : sql`(f.ownership_type = 'user' AND f."user" =
               (SELECT k."user" FROM keypairs k WHERE k.access_key = ${selection.accessKey}))`;
    case 'invited':
      return sql`(f.ownership_type = 'user' AND p.permission IS NOT NULL)`;
    case 'projects':
      return sql`(f.ownership_type = 'group' AND m.user_id IS NOT NULL)`;
    case 'project':
      return sql`(f.ownership_type = 'group' AND f."group" = ${selection.projectId})`;
  }
}

/**
 * One page of an older list, newest first unless ordered, and how many match in all.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function selectFolderPage(
  sql: Sql,
  viewer: Viewer,
  options: {
    readonly reach: FolderReach;
    readonly selection: FolderSelection;
    readonly domainName: string | null;
    readonly projectId: string | null;
  },
  page: ListPage,
): Promise<{ rows: FolderRecord[]; total: number }> {
  const { reach, selection, domainName, projectId } = options;
  const table = fields(sql);
  const where = sql`
    ${within(sql, viewer, reach)} AND ${selected(sql, viewer, selection)}
    ${domainName === null ? sql`` : sql`AND f.domain_name = ${domainName}`}
    ${projectId === null ? sql`` : sql`AND f."group" = ${projectId}`}
    AND ${filterToSql(sql, page.filter, table)}`;
  const order = orderToSql(sql, page.order, orderTable(table), {
    fallback: sql`f.created_at DESC`,
    tieBreak: sql`f.id`,
  });
  const [counted] = await sql<{ total: number }[]>`
    SELECT count(*)::int AS total FROM ${relations(sql, viewer)} WHERE ${where}`;
  const rows = await sql<FolderRecord[]>`
    SELECT ${columns(sql, viewer)} FROM ${relations(sql, viewer)}
     WHERE ${where} ORDER BY ${order} LIMIT ${page.limit} OFFSET ${page.offset}`;
  return { rows, total: counted?.total ?? 0 };
}

/** The folders of a part of the cluster; a project's includes what its member uses personally. */
function inScope(sql: Sql, { userId }: Viewer, scope: Scope): Fragment {
  switch (scope.kind) {
    case 'system':
      return sql`true`;
    case 'domain':
      return sql`f.domain_name = ${scope.domainName}`;
    case 'project':
      return sql`(f."group" = ${scope.projectId}
        OR (f.ownership_type = 'user' AND (f."user" = ${userId} OR p.permission IS NOT NULL)))`;
    case 'user':
      return sql`(f.ownership_type = 'user' AND f."user" = ${scope.userId})`;
  }
}

const MAY_READ = ['ro', 'rw', 'wd'];
const MAY_WRITE = ['rw', 'wd'];
/** Which permissions, of a grant or of the folder, carry a power; none for what owners alone may. */
const CARRIERS: Readonly<Record<FolderPower, readonly string[]>> = {
  read_attribute: MAY_READ,
  read_content: MAY_READ,
  clone: MAY_READ,
  mount_ro: MAY_READ,
  write_content: MAY_WRITE,
  delete_content: MAY_WRITE,
  mount_rw: MAY_WRITE,
  mount_wd: ['wd'],
  update_attribute: [],
  delete_vfolder: [],
  assign_permission_to_others: [],
};
const OF_ADMINISTRATORS = ['read_attribute', 'update_attribute', 'delete_vfolder'];

/** The same decision as `powersOf`, over all folders at once. */
function withPower(sql: Sql, viewer: Viewer, power: FolderPower): Fragment {
  if (viewer.isSuperadmin) return sql`true`;
  const { userId, domainName, role } = viewer;
  const carriers = [...CARRIERS[power]];
  const asAdmin =
    role !== 'admin'
      ? sql`false`
      : sql`((f.ownership_type = 'group' AND g.domain_name = ${domainName})
          OR (${OF_ADMINISTRATORS.includes(power)} AND f.domain_name = ${domainName}))`;
  return sql`(
    (f.ownership_type = 'user' AND f."user" = ${userId}) OR ${asAdmin}
    OR (f.ownership_type = 'user' AND p.permission::text = ANY (${carriers}::text[]))
    OR (f.ownership_type = 'group' AND (CASE
          WHEN m.user_id IS NOT NULL THEN coalesce(p.permission, f.permission)::text
          WHEN g.type = 'model-store' AND g.domain_name = ${domainName} THEN 'ro' END)
        = ANY (${carriers}::text[])))`;
}

/** What is asked of the list of folders as nodes. */
export interface FolderNodeQuery extends ListQuery {
  readonly scope: Scope;
  readonly power: FolderPower;
}

/**
 * Folders as nodes.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export function selectFolderNodes(
  sql: Sql,
  viewer: Viewer,
  query: FolderNodeQuery,
  wish: PageWish,
): Promise<Listed<FolderRecord>> {
  const table = fields(sql);
  const source: ListSource = {
    columns: columns(sql, viewer),
    from: relations(sql, viewer),
    scope: within(sql, viewer, 'all'),
    filter: sql`${filterToSql(sql, query.filter, table)} AND ${inScope(sql, viewer, query.scope)}
      AND ${withPower(sql, viewer, query.power)}`,
    order: orderTerms(query.order, orderTable(table)),
    key: sql`f.id`,
    keyType: 'uuid',
  };
  return selectListPage(sql, source, wish);
}

/** Members of the newer schema's enum of statuses; some stored ones have none of their own. */
export const V2_STATUSES = {
  ready: 'READY',
  performing: 'READY',
  mounted: 'READY',
  cloning: 'CLONING',
  error: 'DELETE_ERROR',
  'delete-pending': 'DELETE_PENDING',
  'delete-ongoing': 'DELETE_ONGOING',
  'delete-complete': 'DELETE_COMPLETE',
  'delete-error': 'DELETE_ERROR',
} as const satisfies Readonly<Record<FolderRecord['status'], string>>;

const v2Status = (sql: Sql): Fragment => sql`
  (CASE f.status WHEN 'performing' THEN 'READY' WHEN 'mounted' THEN 'READY'
     WHEN 'error' THEN 'DELETE_ERROR' ELSE upper(replace(f.status, '-', '_')) END)`;

const v2Fields = (sql: Sql): V2FieldTable => ({
  name: { kind: 'text', column: sql`f.name` },
  host: { kind: 'text', column: sql`f.host` },
  status: { kind: 'enum', column: v2Status(sql) },
  usageMode: { kind: 'enum', column: sql`upper(f.usage_mode::text)` },
  cloneable: { kind: 'boolean', column: sql`f.cloneable` },
  createdAt: { kind: 'time', column: sql`f.created_at` },
});

const v2Orders = (sql: Sql): V2OrderTable => ({
  NAME: sql`f.name`,
  CREATED_AT: sql`f.created_at`,
  STATUS: v2Status(sql),
  USAGE_MODE: sql`f.usage_mode`,
  HOST: sql`f.host`,
});

/** Folders of the newer schema. @throws BackendError InvalidGraphQLParameters, InvalidCursor. */
export function selectFoldersV2(
  sql: Sql,
  viewer: Viewer,
  selection: FolderSelection,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<FolderRecord>> {
  const newestFirst = [{ column: sql`f.created_at`, descending: true }];
  const source: ListSource = {
    columns: columns(sql, viewer),
    from: relations(sql, viewer),
    scope: within(sql, viewer, 'all'),
    filter: sql`${v2FilterToSql(sql, query.filter, v2Fields(sql))}
      AND ${selected(sql, viewer, selection)}`,
    order: v2OrderTerms(wish.page.mode, query.orderBy, v2Orders(sql), newestFirst),
    key: sql`f.id`,
    keyType: 'uuid',
  };
  return selectListPage(sql, source, wish);
}
