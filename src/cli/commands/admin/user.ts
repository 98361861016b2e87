/** `admin user`: accounts of people. */
import * as v from 'valibot';
import type { Client } from '../../../client/index.ts';
import {
  argument,
  booleanExpression,
  defineCommand,
  flag,
  integer,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { changesOf, confirmed, yes } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { commaList, integerList } from '../../framework/values.ts';
import type { Field } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchItem, fetchItems, fetchListPage } from '../../output/query.ts';
import { printItem, printList } from '../../output/results.ts';

const GROUPS: Field = {
  key: 'groups',
  format: 'names',
  subfields: [{ key: 'id' }, { key: 'name' }],
};
const LIST_FIELDS: readonly Field[] = [
  { key: 'uuid' },
  { key: 'username' },
  { key: 'role' },
  { key: 'email' },
  { key: 'full_name' },
  { key: 'need_password_change' },
  { key: 'status' },
  { key: 'status_info' },
  { key: 'created_at' },
  { key: 'domain_name' },
  GROUPS,
  { key: 'allowed_client_ip' },
  { key: 'sudo_session_enabled' },
  { key: 'main_access_key' },
];
const INFO_FIELDS: readonly Field[] = [
  ...LIST_FIELDS.slice(0, 5),
  { key: 'description' },
  ...LIST_FIELDS.slice(5),
];

const email = argument('EMAIL', 'E-mail address of the user.');
const ROLE_HELP = 'One of user, admin, monitor and superadmin.';
const STATUS_HELP = 'One of active, inactive, deleted and before-verification.';
const containerId = integer({ min: 0 });
const CONTAINER_UID = ['--cuid', '--container-uid'] as const;
const CONTAINER_GID = ['--cgid', '--container-main-gid'] as const;
const CONTAINER_GIDS = ['--cgids', '--container-gids'] as const;

const containerOptions = {
  uid: option(CONTAINER_UID, 'INT', 'User id of all processes in their containers.', containerId),
  gid: option(CONTAINER_GID, 'INT', 'Primary group id of these processes.', containerId),
  gids: option(CONTAINER_GIDS, 'A,B', 'Further group ids of these processes.', integerList),
};

export const info = defineCommand({
  help: "Show a user's account; without an address, your own.",
  options: { email: option(['-e', '--email'], 'EMAIL', 'E-mail address of the user.') },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { email: ['String', options.email] } as const;
    const user = await fetchItem(client, { root: 'user', fields: INFO_FIELDS, variables });
    return printItem({ io, globals }, INFO_FIELDS, user);
  },
});

export const list = defineCommand({
  options: {
    status: option(['-s', '--status'], 'STATUS', `Only users of this status. ${STATUS_HELP}`),
    group: option(['-g', '--group'], 'UUID', 'Only members of this project.'),
    ...pageOptions,
  },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const query = {
      root: 'user_list',
      fields: LIST_FIELDS,
      variables: {
        status: ['String', options.status],
        group_id: ['UUID', options.group],
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

/** Ids of projects that are given by name or id. */
async function projectIds(
  client: Client,
  domain: string,
  references: readonly string[],
): Promise<string[]> {
  const ids: string[] = [];
  for (const reference of references) {
    if (v.is(v.pipe(v.string(), v.uuid()), reference)) {
      ids.push(reference);
      continue;
    }
    const [found] = await fetchItems(client, {
      root: 'groups_by_name',
      fields: [{ key: 'id' }],
      variables: { name: ['String!', reference], domain_name: ['String', domain] },
    });
    if (found === undefined) {
      throw new UserError(`There is no project '${reference}' in the domain '${domain}'.`, {
        hint: 'See `backend.ai admin group list`, or name others with --groups.',
      });
    }
    ids.push(String(found.id));
  }
  return ids;
}

const CREATED_FIELDS: readonly Field[] = [
  { key: 'domain_name' },
  { key: 'email' },
  { key: 'username' },
  { key: 'uuid' },
  GROUPS,
];

export const add = defineCommand({
  positionals: {
    domain: argument('DOMAIN_NAME', 'The domain that the user belongs to.'),
    email,
    password: argument('PASSWORD', 'The first password.'),
  },
  options: {
    username: optionWithDefault(['-u', '--username'], 'NAME', 'User name.', '', String),
    fullName: optionWithDefault(['-n', '--full-name'], 'NAME', 'Full name.', '', String),
    role: optionWithDefault(['-r', '--role'], 'ROLE', ROLE_HELP, 'user', String),
    status: optionWithDefault(['-s', '--status'], 'STATUS', STATUS_HELP, 'active', String),
    needPasswordChange: flag(
      ['--need-password-change'],
      'The user has to choose another password at first.',
    ),
    allowedIp: option(
      ['--allowed-ip'],
      'A,B',
      'Addresses or networks that the user may come from.',
      commaList,
    ),
    description: optionWithDefault(
      ['--desc', '--description'],
      'TEXT',
      'Remarks about the user.',
      '',
      String,
    ),
    sudo: flag(['--sudo-session-enabled'], 'Let the user become root in sessions with sudo.'),
    ...containerOptions,
    groups: optionWithDefault(
      ['-g', '--group', '--groups'],
      'A,B',
      'Projects that the user is a member of, by name or id.',
      ['default'],
      commaList,
    ),
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = {
      username: options.username,
      password: args.password,
      full_name: options.fullName,
      role: options.role,
      status: options.status,
      need_password_change: options.needPasswordChange,
      description: options.description,
      domain_name: args.domain,
      allowed_client_ip: options.allowedIp,
      group_ids: await projectIds(client, args.domain, options.groups),
      sudo_session_enabled: options.sudo,
      container_uid: options.uid,
      container_main_gid: options.gid,
      container_gids: options.gids,
    };
    return runMutation({ io, globals }, client, {
      root: 'create_user',
      variables: { email: ['String!', args.email], props: ['UserInput!', props] },
      itemName: 'user',
      actionName: 'add',
      fields: CREATED_FIELDS,
    });
  },
});

/** A value, null when it is to be removed, undefined when it stays. */
function settable<T>(value: T | undefined, isUnset: boolean, name: string): T | null | undefined {
  if (!isUnset) return value;
  if (value === undefined) return null;
  throw new UserError(`--${name} and --unset-${name} exclude each other.`, {
    hint: `Use --${name} to set a value or --unset-${name} to remove it.`,
  });
}

export const update = defineCommand({
  positionals: { email },
  options: {
    password: option(['-p', '--password'], 'TEXT', 'Another password.'),
    username: option(['-u', '--username'], 'NAME', 'User name.'),
    fullName: option(['-n', '--full-name'], 'NAME', 'Full name.'),
    domain: option(['-d', '--domain-name'], 'NAME', 'Domain.'),
    role: option(['-r', '--role'], 'ROLE', ROLE_HELP),
    status: option(['-s', '--status'], 'STATUS', STATUS_HELP),
    needPasswordChange: option(
      ['--need-password-change'],
      'BOOL',
      'Whether the user has to choose another password.',
      booleanExpression,
    ),
    allowedIp: option(
      ['--allowed-ip'],
      'A,B',
      'Addresses or networks that the user may come from.',
      commaList,
    ),
    description: option(['--description'], 'TEXT', 'Remarks about the user.'),
    sudo: option(
      ['--sudo-session-enabled'],
      'BOOL',
      'Whether the user can become root in sessions with sudo.',
      booleanExpression,
    ),
    mainAccessKey: option(['--main-access-key'], 'AK', 'The keypair that counts as theirs.'),
    ...containerOptions,
    unsetUid: flag(['--unset-cuid', '--unset-container-uid'], 'Remove the user id.'),
    unsetGid: flag(['--unset-cgid', '--unset-container-main-gid'], 'Remove the group id.'),
    unsetGids: flag(['--unset-cgids', '--unset-container-gids'], 'Remove the further group ids.'),
  },
  async run({ options, args, io, globals }) {
    const props = changesOf({
      password: options.password,
      username: options.username,
      full_name: options.fullName,
      domain_name: options.domain,
      role: options.role,
      status: options.status,
      need_password_change: options.needPasswordChange,
      allowed_client_ip: options.allowedIp,
      description: options.description,
      sudo_session_enabled: options.sudo,
      main_access_key: options.mainAccessKey,
      container_uid: settable(options.uid, options.unsetUid, 'cuid'),
      container_main_gid: settable(options.gid, options.unsetGid, 'cgid'),
      container_gids: settable(options.gids, options.unsetGids, 'cgids'),
    });
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_user',
      variables: { email: ['String!', args.email], props: ['ModifyUserInput!', props] },
      itemName: 'user',
      actionName: 'update',
      extra: { email: args.email },
    });
  },
});

export const remove = subjectCommand({
  help: 'Make a user inactive: the account stays, but nobody can use it.',
  subject: email,
  key: 'email',
  root: 'delete_user',
  itemName: 'user',
  actionName: 'deletion',
});

export const purge = defineCommand({
  help: 'Delete a user for good, with keypairs, sessions and folders. This cannot be undone.',
  positionals: { email },
  options: {
    sharedFolders: flag(
      ['--purge-shared-vfolders'],
      'Also delete folders that are shared with others; they become yours otherwise.',
    ),
    delegateEndpoints: flag(
      ['--delegate-endpoint-ownership'],
      'Become the owner of their model services instead of deleting these.',
    ),
    yes,
  },
  async run({ options, args, io, globals }) {
    if (!(await confirmed({ io }, options.yes))) return 1;
    const client = await connectAdmin({ io, globals });
    const props = {
      purge_shared_vfolders: options.sharedFolders,
      delegate_endpoint_ownership: options.delegateEndpoints,
    };
    return runMutation({ io, globals }, client, {
      root: 'purge_user',
      variables: { email: ['String!', args.email], props: ['PurgeUserInput!', props] },
      itemName: 'user',
      actionName: 'purge',
      extra: { email: args.email },
    });
  },
});
