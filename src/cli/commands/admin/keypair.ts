/** `admin keypair`: the keys with which programs sign requests. */
import {
  argument,
  booleanExpression,
  type Command,
  defineCommand,
  flag,
  integer,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { changesOf } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { type Field, isRecord } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchItem, fetchListPage } from '../../output/query.ts';
import { printItem, printList } from '../../output/results.ts';

const DEFAULT_RATE_LIMIT = 5000;

const EMAIL: Field = { key: 'user_id', title: 'Email' };
const INFO_FIELDS: readonly Field[] = [
  EMAIL,
  {
    key: 'user_info',
    jsonKey: 'full_name',
    title: 'Full Name',
    subfields: [{ key: 'full_name' }],
    read: (user) => (isRecord(user) ? user.full_name : null),
  },
  { key: 'access_key' },
  { key: 'secret_key' },
  { key: 'is_active' },
  { key: 'is_admin' },
  { key: 'created_at' },
  { key: 'last_used' },
  { key: 'resource_policy' },
  { key: 'rate_limit' },
  { key: 'concurrency_used' },
];
const LIST_FIELDS: readonly Field[] = [EMAIL, { key: 'projects' }, ...INFO_FIELDS.slice(1)];

const accessKey = argument('ACCESS_KEY', 'The access key.');
const rateLimit = integer({ min: 0 });
const RATE_LIMIT_HELP = 'Most requests in 15 minutes.';

export const info = defineCommand({
  help: 'Show what the server knows about the keypair that is in use.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const keypair = await fetchItem(client, { root: 'keypair', fields: INFO_FIELDS });
    return printItem({ io, globals }, INFO_FIELDS, keypair);
  },
});

export const list = defineCommand({
  options: {
    user: option(['-u', '--user-id'], 'EMAIL', 'Only keypairs of this user.'),
    isActive: option(
      ['--is-active'],
      'BOOL',
      'Only keypairs that are active, or that are not.',
      booleanExpression,
    ),
    ...pageOptions,
  },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const query = {
      root: 'keypair_list',
      fields: LIST_FIELDS,
      variables: {
        email: ['String', options.user],
        is_active: ['Boolean', options.isActive],
        filter: ['String', options.filter],
        order: ['String', options.order],
      },
    } as const;
    await printList({ io, globals }, LIST_FIELDS, options, (offset, limit) =>
      fetchListPage(client, query, offset, limit),
    );
    return 0;
  },
});

export const add = defineCommand({
  positionals: {
    user: argument('USER_ID', 'E-mail address of its owner.'),
    policy: argument('RESOURCE_POLICY', 'The keypair resource policy that limits it.'),
  },
  options: {
    admin: flag(['-a', '--admin'], 'Mark it as the keypair of an administrator.'),
    inactive: flag(['-i', '--inactive'], 'Do not let it be used yet.'),
    rateLimit: optionWithDefault(
      ['-r', '--rate-limit'],
      'INT',
      RATE_LIMIT_HELP,
      DEFAULT_RATE_LIMIT,
      rateLimit,
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = {
      is_active: !options.inactive,
      is_admin: options.admin,
      resource_policy: args.policy,
      rate_limit: options.rateLimit,
    };
    return runMutation({ io, globals }, client, {
      root: 'create_keypair',
      variables: { user_id: ['String!', args.user], props: ['KeyPairInput!', props] },
      itemName: 'keypair',
      actionName: 'add',
      fields: [{ key: 'access_key' }, { key: 'secret_key' }],
      extraOf: ({ access_key, secret_key }) => ({ access_key, secret_key }),
    });
  },
});

export const update = defineCommand({
  positionals: { accessKey },
  options: {
    policy: option(['--resource-policy'], 'NAME', 'The keypair resource policy that limits it.'),
    isAdmin: option(
      ['--is-admin'],
      'BOOL',
      'Whether it is the keypair of an administrator.',
      booleanExpression,
    ),
    isActive: option(['--is-active'], 'BOOL', 'Whether it can be used.', booleanExpression),
    rateLimit: option(['-r', '--rate-limit'], 'INT', RATE_LIMIT_HELP, rateLimit),
  },
  async run({ options, args, io, globals }) {
    const props = changesOf({
      resource_policy: options.policy,
      is_admin: options.isAdmin,
      is_active: options.isActive,
      rate_limit: options.rateLimit,
    });
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_keypair',
      variables: {
        access_key: ['String!', args.accessKey],
        props: ['ModifyKeyPairInput!', props],
      },
      itemName: 'keypair',
      actionName: 'update',
      extra: { access_key: args.accessKey },
    });
  },
});

export const remove = subjectCommand({
  subject: accessKey,
  key: 'access_key',
  root: 'delete_keypair',
  itemName: 'keypair',
  actionName: 'deletion',
});

const activation = (isActive: boolean, actionName: string): Command =>
  subjectCommand({
    subject: accessKey,
    key: 'access_key',
    root: 'modify_keypair',
    variables: { props: ['ModifyKeyPairInput!', { is_active: isActive }] },
    itemName: 'keypair',
    actionName,
  });

export const activate = activation(true, 'activation');
export const deactivate = activation(false, 'deactivation');
