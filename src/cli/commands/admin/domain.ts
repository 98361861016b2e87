/** `admin domain`: the tenants of the cluster. */
import {
  argument,
  booleanExpression,
  defineCommand,
  flag,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { changesOf, hostPermissions } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { commaList, jsonObjectText } from '../../framework/values.ts';
import type { Field } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { fetchItem, fetchItems } from '../../output/query.ts';
import { printItem, printWholeList } from '../../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'name' },
  { key: 'description' },
  { key: 'is_active' },
  { key: 'created_at' },
  { key: 'total_resource_slots', format: 'slots' },
  { key: 'allowed_vfolder_hosts' },
  { key: 'allowed_docker_registries' },
  { key: 'integration_id' },
];

const name = argument('NAME', 'Name of the domain.');
const SLOTS_FLAGS = ['--total-resource-slots'] as const;
const SLOTS_HELP = 'What its sessions may take together, e.g. \'{"cpu": "8"}\'.';
const registries = option(
  ['--allowed-docker-registries'],
  'A,B',
  'Container registries whose images may be used.',
  commaList,
);

export const info = defineCommand({
  positionals: { name },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { name: ['String', args.name] } as const;
    const domain = await fetchItem(client, { root: 'domain', fields: FIELDS, variables });
    return printItem({ io, globals }, FIELDS, domain);
  },
});

export const list = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const domains = await fetchItems(client, { root: 'domains', fields: FIELDS });
    await printWholeList({ io, globals }, FIELDS, domains);
    return 0;
  },
});

export const add = defineCommand({
  positionals: { name },
  options: {
    description: optionWithDefault(['-d', '--description'], 'TEXT', 'Remarks.', '', String),
    inactive: flag(['--inactive'], 'Do not let it be used yet.'),
    slots: optionWithDefault(SLOTS_FLAGS, 'JSON', SLOTS_HELP, '{}', jsonObjectText),
    hostPermissions,
    registries,
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = {
      description: options.description,
      is_active: !options.inactive,
      total_resource_slots: options.slots,
      allowed_vfolder_hosts: options.hostPermissions,
      allowed_docker_registries: options.registries,
    };
    return runMutation({ io, globals }, client, {
      root: 'create_domain',
      variables: { name: ['String!', args.name], props: ['DomainInput!', props] },
      itemName: 'domain',
      actionName: 'add',
      fields: [{ key: 'name' }],
    });
  },
});

export const update = defineCommand({
  positionals: { name },
  options: {
    newName: option(['--new-name'], 'NAME', 'Another name.'),
    description: option(['--description'], 'TEXT', 'Remarks.'),
    isActive: option(['--is-active'], 'BOOL', 'Whether it can be used.', booleanExpression),
    slots: option(SLOTS_FLAGS, 'JSON', SLOTS_HELP, jsonObjectText),
    hostPermissions,
    registries,
  },
  async run({ options, args, io, globals }) {
    const props = changesOf({
      name: options.newName,
      description: options.description,
      is_active: options.isActive,
      total_resource_slots: options.slots,
      allowed_vfolder_hosts: options.hostPermissions,
      allowed_docker_registries: options.registries,
    });
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_domain',
      variables: { name: ['String!', args.name], props: ['ModifyDomainInput!', props] },
      itemName: 'domain',
      actionName: 'update',
      extra: { name: args.name },
    });
  },
});

export const remove = subjectCommand({
  help: 'Make a domain inactive: it stays, but nobody can use it.',
  subject: name,
  key: 'name',
  root: 'delete_domain',
  itemName: 'domain',
  actionName: 'deletion',
});

export const purge = subjectCommand({
  help: 'Delete a domain for good. This cannot be undone.',
  subject: name,
  key: 'name',
  root: 'purge_domain',
  itemName: 'domain',
  actionName: 'purge',
  asksFirst: true,
});
