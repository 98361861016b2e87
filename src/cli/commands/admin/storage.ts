/** `admin storage` and `admin quota-scope`: volumes, and what users and projects may keep on them. */
import * as v from 'valibot';
import type { Client } from '../../../client/index.ts';
import {
  argument,
  choice,
  defineCommand,
  integer,
  optionWithDefault,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { isUuid } from '../../../common/ids.ts';
import { connectAdmin } from '../../connect.ts';
import { type Field, isRecord, selection } from '../../output/fields.ts';
import { pageOptions } from '../../output/page-options.ts';
import { documentOf, fetchItem, fetchItems, fetchListPage } from '../../output/query.ts';
import { printItem, printList } from '../../output/results.ts';

const LIST_FIELDS: readonly Field[] = [{ key: 'id' }, { key: 'backend' }, { key: 'capabilities' }];
const INFO_FIELDS: readonly Field[] = [
  ...LIST_FIELDS,
  { key: 'path' },
  { key: 'fsprefix' },
  { key: 'hardware_metadata', format: 'nested' },
  { key: 'performance_metric', format: 'nested' },
  { key: 'usage', format: 'nested' },
];

export const list = defineCommand({
  options: pageOptions,
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const query = { root: 'storage_volume_list', fields: LIST_FIELDS } as const;
    await printList({ io, globals }, LIST_FIELDS, options, (offset, limit) =>
      fetchListPage(client, query, offset, limit),
    );
    return 0;
  },
});

export const info = defineCommand({
  positionals: { host: argument('VFOLDER_HOST', 'proxy:volume.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { id: ['String', args.host] } as const;
    const volume = await fetchItem(client, {
      root: 'storage_volume',
      fields: INFO_FIELDS,
      variables,
    });
    return printItem({ io, globals }, INFO_FIELDS, volume);
  },
});

const SCOPE_FIELDS: readonly Field[] = [
  { key: 'quota_scope_id' },
  { key: 'storage_host_name' },
  {
    key: 'details',
    subfields: [{ key: 'usage_bytes' }, { key: 'hard_limit_bytes' }],
    read: (value) => (isRecord(value) ? value : null),
  },
];

const scopeArguments = {
  host: argument('HOST', 'proxy:volume.'),
  identifier: argument('IDENTIFIER', "A user's e-mail address, a project's name, or an id."),
};
const scopeOptions = {
  domain: optionWithDefault(
    ['-d', '--domain', '--domain-name'],
    'NAME',
    'The domain of the project.',
    'default',
    String,
  ),
  type: optionWithDefault(
    ['-t', '--type'],
    'TYPE',
    'Whose scope: user or project.',
    'user',
    choice(['user', 'project']),
  ),
};

/** The id of the scope of a user or a project. @throws UserError when there is none. */
async function scopeId(
  client: Client,
  identifier: string,
  { type, domain }: { readonly type: 'user' | 'project'; readonly domain: string },
): Promise<string> {
  if (isUuid(identifier)) return `${type}:${identifier}`;
  const found =
    type === 'user'
      ? await fetchItem(client, {
          root: 'user',
          fields: [{ key: 'uuid' }],
          variables: { email: ['String', identifier] },
        })
      : ((
          await fetchItems(client, {
            root: 'groups_by_name',
            fields: [{ key: 'id' }],
            variables: { name: ['String!', identifier], domain_name: ['String', domain] },
          })
        )[0] ?? null);
  const id = found?.uuid ?? found?.id;
  if (typeof id === 'string') return `${type}:${id}`;
  throw new UserError(`There is no ${type} '${identifier}'.`);
}

export const getQuota = defineCommand({
  positionals: scopeArguments,
  options: scopeOptions,
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const scope = await fetchItem(client, {
      root: 'quota_scope',
      fields: SCOPE_FIELDS,
      variables: {
        storage_host_name: ['String!', args.host],
        quota_scope_id: ['String!', await scopeId(client, args.identifier, options)],
      },
    });
    return printItem({ io, globals }, SCOPE_FIELDS, scope);
  },
});

const payload = v.object({ quota_scope: v.nullable(v.record(v.string(), v.unknown())) });

async function change(
  client: Client,
  root: string,
  variables: Parameters<typeof documentOf>[2],
): Promise<Record<string, unknown> | null> {
  const body = `quota_scope { ${selection(SCOPE_FIELDS)} }`;
  const { document, values } = documentOf('mutation', root, variables, body);
  return (await client.graphql.field(root, payload, document, values)).quota_scope;
}

export const setQuota = defineCommand({
  positionals: {
    ...scopeArguments,
    limit: argument('LIMIT_BYTES', 'Most that it may hold. Bytes.', integer({ min: 1 })),
  },
  options: scopeOptions,
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const scope = await change(client, 'set_quota_scope', {
      storage_host_name: ['String!', args.host],
      quota_scope_id: ['String!', await scopeId(client, args.identifier, options)],
      props: ['QuotaScopeInput!', { hard_limit_bytes: args.limit }],
    });
    return printItem({ io, globals }, SCOPE_FIELDS, scope);
  },
});

export const unsetQuota = defineCommand({
  positionals: scopeArguments,
  options: scopeOptions,
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const scope = await change(client, 'unset_quota_scope', {
      storage_host_name: ['String!', args.host],
      quota_scope_id: ['String!', await scopeId(client, args.identifier, options)],
    });
    return printItem({ io, globals }, SCOPE_FIELDS, scope);
  },
});
