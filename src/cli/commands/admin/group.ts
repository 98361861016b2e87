/** `admin group`: projects and their members. */
import * as v from 'valibot';
import {
  argument,
  booleanExpression,
  type Command,
  defineCommand,
  flag,
  option,
  optionWithDefault,
  restArguments,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { changesOf, hostPermissions, projectId as id } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { idText, jsonObjectText } from '../../framework/values.ts';
import type { Field } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { fetchItem, fetchItems } from '../../output/query.ts';
import { printItem, printItems, printWholeList } from '../../output/results.ts';

const LIST_FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'name' },
  { key: 'is_active' },
  { key: 'created_at' },
  { key: 'integration_id' },
];
const INFO_FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'name' },
  { key: 'description' },
  { key: 'is_active' },
  { key: 'created_at' },
  { key: 'domain_name' },
  { key: 'total_resource_slots', format: 'slots' },
  { key: 'allowed_vfolder_hosts' },
  { key: 'integration_id' },
];

const uuid = v.pipe(v.string(), v.uuid());
const SLOTS_FLAGS = ['--total-resource-slots'] as const;
const SLOTS_HELP = 'What its sessions may take together, e.g. \'{"cpu": "8"}\'.';

export const info = defineCommand({
  help: 'Show a project by its id, or all projects of a name: domains may have one each.',
  positionals: { reference: argument('ID_OR_NAME', 'Id or name of the project.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    if (v.is(uuid, args.reference)) {
      const variables = { id: ['UUID!', args.reference] } as const;
      const group = await fetchItem(client, { root: 'group', fields: INFO_FIELDS, variables });
      return printItem({ io, globals }, INFO_FIELDS, group);
    }
    const variables = { name: ['String!', args.reference] } as const;
    const query = { root: 'groups_by_name', fields: INFO_FIELDS, variables };
    return printItems({ io, globals }, INFO_FIELDS, await fetchItems(client, query));
  },
});

export const list = defineCommand({
  options: { domain: option(['-d', '--domain-name'], 'NAME', 'Only projects of this domain.') },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { domain_name: ['String', options.domain] } as const;
    const groups = await fetchItems(client, { root: 'groups', fields: LIST_FIELDS, variables });
    await printWholeList({ io, globals }, LIST_FIELDS, groups);
    return 0;
  },
});

export const add = defineCommand({
  positionals: {
    domain: argument('DOMAIN_NAME', 'The domain that the project belongs to.'),
    name: argument('NAME', 'Name of the project.'),
  },
  options: {
    description: optionWithDefault(['-d', '--description'], 'TEXT', 'Remarks.', '', String),
    inactive: flag(['-i', '--inactive'], 'Do not let it be used yet.'),
    slots: optionWithDefault(SLOTS_FLAGS, 'JSON', SLOTS_HELP, '{}', jsonObjectText),
    hostPermissions,
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = {
      description: options.description,
      is_active: !options.inactive,
      domain_name: args.domain,
      total_resource_slots: options.slots,
      allowed_vfolder_hosts: options.hostPermissions ?? '{}',
    };
    return runMutation({ io, globals }, client, {
      root: 'create_group',
      variables: { name: ['String!', args.name], props: ['GroupInput!', props] },
      itemName: 'group',
      actionName: 'add',
      fields: [{ key: 'id' }, { key: 'domain_name' }, { key: 'name' }],
    });
  },
});

export const update = defineCommand({
  positionals: { id },
  options: {
    name: option(['-n', '--name'], 'NAME', 'Another name.'),
    description: option(['-d', '--description'], 'TEXT', 'Remarks.'),
    isActive: option(['--is-active'], 'BOOL', 'Whether it can be used.', booleanExpression),
    slots: option(SLOTS_FLAGS, 'JSON', SLOTS_HELP, jsonObjectText),
    hostPermissions,
  },
  async run({ options, args, io, globals }) {
    const props = changesOf({
      name: options.name,
      description: options.description,
      is_active: options.isActive,
      total_resource_slots: options.slots,
      allowed_vfolder_hosts: options.hostPermissions,
    });
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_group',
      variables: { gid: ['UUID!', args.id], props: ['ModifyGroupInput!', props] },
      itemName: 'group',
      actionName: 'update',
      extra: { gid: args.id },
    });
  },
});

export const remove = subjectCommand({
  help: 'Make a project inactive: it stays, but nobody can use it.',
  subject: id,
  key: 'gid',
  type: 'UUID!',
  root: 'delete_group',
  itemName: 'group',
  actionName: 'deletion',
});

export const purge = subjectCommand({
  help: 'Delete a project for good. This cannot be undone.',
  subject: id,
  key: 'gid',
  type: 'UUID!',
  root: 'purge_group',
  itemName: 'group',
  actionName: 'purge',
  asksFirst: true,
});

const userId = idText('See `backend.ai admin user list`.');

const membership = (mode: 'add' | 'remove', actionName: string): Command =>
  defineCommand({
    positionals: { id, users: restArguments('USER_UUIDS', 'Ids of the users.', userId) },
    async run({ args, io, globals }) {
      if (args.users.length === 0) {
        throw new UserError('Name at least one user by id.', {
          hint: 'Ids of users: `backend.ai admin user list`.',
          exitCode: 4,
        });
      }
      const client = await connectAdmin({ io, globals });
      const props = { user_update_mode: mode, user_uuids: args.users };
      return runMutation({ io, globals }, client, {
        root: 'modify_group',
        variables: { gid: ['UUID!', args.id], props: ['ModifyGroupInput!', props] },
        itemName: 'group',
        actionName,
        extra: { gid: args.id },
      });
    },
  });

export const addUsers = membership('add', 'add_users');
export const removeUsers = membership('remove', 'users_remove');
