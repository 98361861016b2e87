/** `admin keypair-resource-policy`: what the sessions of a keypair may take. */
import {
  argument,
  choice,
  defineCommand,
  integer,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { changesOf, hostPermissions } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { jsonObjectText } from '../../framework/values.ts';
import type { Field } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { fetchItem, fetchItems } from '../../output/query.ts';
import { printItem, printWholeList } from '../../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'name' },
  { key: 'created_at' },
  { key: 'total_resource_slots' },
  { key: 'max_concurrent_sessions' },
  { key: 'idle_timeout' },
  { key: 'max_containers_per_session' },
  { key: 'allowed_vfolder_hosts' },
  { key: 'max_session_lifetime' },
  { key: 'max_pending_session_count' },
  { key: 'max_pending_session_resource_slots' },
  { key: 'max_concurrent_sftp_sessions' },
];

/** Everything, on the host that an installation has at first. */
const DEFAULT_HOST_PERMISSIONS = JSON.stringify({
  'local:volume1': [
    ...['create-vfolder', 'modify-vfolder', 'delete-vfolder', 'mount-in-session'],
    ...['upload-file', 'download-file', 'invite-others', 'set-user-specific-permission'],
  ],
});

const name = argument('NAME', 'Name of the policy.');
const unspecified = choice(['LIMITED', 'UNLIMITED']);
const limit = integer({ min: 0 });

/** Every option with its help text, for both commands. */
const texts = {
  unspecified: [
    ['--default-for-unspecified'],
    'LIMITED|UNLIMITED',
    'Resources without a limit here: none or as much as there is.',
  ],
  slots: [['--total-resource-slots'], 'JSON', 'What its sessions may take together.'],
  lifetime: [['--max-session-lifetime'], 'SEC', 'Longest life of a session; 0: no limit.'],
  sessions: [['--max-concurrent-sessions'], 'INT', 'Most sessions at a time.'],
  sftp: [['--max-concurrent-sftp-sessions'], 'INT', 'Most SFTP sessions at a time.'],
  containers: [['--max-containers-per-session'], 'INT', 'Most containers of a session.'],
  idle: [['--idle-timeout'], 'SEC', 'Sessions that are idle longer are ended; 0: never.'],
  pending: [['--max-pending-session-count'], 'INT', 'Most sessions waiting to start.'],
  pendingSlots: [
    ['--max-pending-session-resource-slots'],
    'JSON',
    'What the waiting sessions may ask for together.',
  ],
} as const;

const pendingOptions = {
  pending: option(...texts.pending, limit),
  pendingSlots: option(...texts.pendingSlots, jsonObjectText),
};

interface Values {
  readonly unspecified?: string;
  readonly slots?: string;
  readonly lifetime?: number;
  readonly sessions?: number;
  readonly sftp?: number;
  readonly containers?: number;
  readonly idle?: number;
  readonly hostPermissions?: string;
  readonly pending?: number;
  readonly pendingSlots?: string;
}

const propsOf = (values: Values) => ({
  default_for_unspecified: values.unspecified,
  total_resource_slots: values.slots,
  max_session_lifetime: values.lifetime,
  max_concurrent_sessions: values.sessions,
  max_concurrent_sftp_sessions: values.sftp,
  max_containers_per_session: values.containers,
  idle_timeout: values.idle,
  allowed_vfolder_hosts: values.hostPermissions,
  max_pending_session_count: values.pending,
  max_pending_session_resource_slots: values.pendingSlots,
});

export const info = defineCommand({
  positionals: { name },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { name: ['String', args.name] } as const;
    const query = { root: 'keypair_resource_policy', fields: FIELDS, variables };
    return printItem({ io, globals }, FIELDS, await fetchItem(client, query));
  },
});

export const list = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const query = { root: 'keypair_resource_policies', fields: FIELDS };
    await printWholeList({ io, globals }, FIELDS, await fetchItems(client, query));
    return 0;
  },
});

export const add = defineCommand({
  positionals: { name },
  options: {
    unspecified: optionWithDefault(...texts.unspecified, 'UNLIMITED', unspecified),
    slots: optionWithDefault(...texts.slots, '{}', jsonObjectText),
    lifetime: optionWithDefault(...texts.lifetime, 0, limit),
    sessions: optionWithDefault(...texts.sessions, 30, limit),
    sftp: optionWithDefault(...texts.sftp, 30, limit),
    containers: optionWithDefault(...texts.containers, 1, limit),
    idle: optionWithDefault(...texts.idle, 1800, limit),
    hostPermissions,
    ...pendingOptions,
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = propsOf({
      ...options,
      hostPermissions: options.hostPermissions ?? DEFAULT_HOST_PERMISSIONS,
    });
    return runMutation({ io, globals }, client, {
      root: 'create_keypair_resource_policy',
      variables: {
        name: ['String!', args.name],
        props: ['CreateKeyPairResourcePolicyInput!', props],
      },
      itemName: 'resource_policy',
      actionName: 'add',
      fields: [{ key: 'name' }],
    });
  },
});

export const update = defineCommand({
  positionals: { name },
  options: {
    unspecified: option(...texts.unspecified, unspecified),
    slots: option(...texts.slots, jsonObjectText),
    lifetime: option(...texts.lifetime, limit),
    sessions: option(...texts.sessions, limit),
    sftp: option(...texts.sftp, limit),
    containers: option(...texts.containers, limit),
    idle: option(...texts.idle, limit),
    hostPermissions,
    ...pendingOptions,
  },
  async run({ options, args, io, globals }) {
    const props = changesOf(propsOf(options));
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_keypair_resource_policy',
      variables: {
        name: ['String!', args.name],
        props: ['ModifyKeyPairResourcePolicyInput!', props],
      },
      itemName: 'resource_policy',
      actionName: 'update',
      extra: { name: args.name },
    });
  },
});

export const remove = subjectCommand({
  subject: name,
  key: 'name',
  root: 'delete_keypair_resource_policy',
  itemName: 'resource_policy',
  actionName: 'deletion',
  asksFirst: true,
});
