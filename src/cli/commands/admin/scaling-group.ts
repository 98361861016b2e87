/** `admin scaling-group`: the parts of the cluster that agents belong to. */
import {
  argument,
  booleanExpression,
  type Command,
  defineCommand,
  flag,
  option,
  optionWithDefault,
} from '../../../common/command.ts';
import { changesOf } from '../../admin/shared.ts';
import { subjectCommand } from '../../admin/subject-command.ts';
import { connectAdmin } from '../../connect.ts';
import { jsonObjectText } from '../../framework/values.ts';
import type { Field } from '../../output/fields.ts';
import { runMutation } from '../../output/mutation.ts';
import { fetchItem, fetchItems } from '../../output/query.ts';
import { printItem, printWholeList } from '../../output/results.ts';

const INFO_FIELDS: readonly Field[] = [
  { key: 'name' },
  { key: 'description' },
  { key: 'is_active' },
  { key: 'is_public' },
  { key: 'created_at' },
  { key: 'driver' },
  { key: 'driver_opts', format: 'nested' },
  { key: 'scheduler' },
  { key: 'scheduler_opts', format: 'nested' },
  { key: 'use_host_network' },
  { key: 'wsproxy_addr' },
  { key: 'wsproxy_api_token' },
];
const LIST_FIELDS = INFO_FIELDS.filter(({ format }) => format !== 'nested');

const name = argument('NAME', 'Name of the resource group.');
const DESCRIPTION_FLAGS = ['-d', '--description', '--desc'] as const;

/** Flags, value and help text of what both commands take. */
const texts = {
  driver: [['--driver'], 'NAME', 'How its agents come about.'],
  driverOptions: [['--driver-opts'], 'JSON', 'Settings of the driver.'],
  scheduler: [['--scheduler'], 'NAME', 'The order in which sessions start: fifo, lifo or drf.'],
  schedulerOptions: [
    ['--scheduler-opts'],
    'JSON',
    'Settings of the scheduler, e.g. \'{"allowed_session_types": ["batch"]}\'.',
  ],
} as const;
const wsproxyOptions = {
  wsproxyAddr: option(['--wsproxy-addr'], 'URL', 'Address of the app proxy; an empty one: none.'),
  wsproxyToken: option(
    ['--wsproxy-api-token'],
    'TOKEN',
    'Token of the app proxy. BACKEND_WSPROXY_API_TOKEN hides it from other users of this machine.',
  ),
};

export const available = defineCommand({
  help: 'List the resource groups that you may use in a project.',
  positionals: { group: argument('GROUP_NAME', 'Name or id of the project.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const groups = await client.cluster.availableResourceGroups(args.group);
    await printWholeList({ io, globals }, [{ key: 'name' }], groups);
    return 0;
  },
});

export const info = defineCommand({
  positionals: { name },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { name: ['String', args.name] } as const;
    const query = { root: 'scaling_group', fields: INFO_FIELDS, variables };
    return printItem({ io, globals }, INFO_FIELDS, await fetchItem(client, query));
  },
});

export const list = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals });
    const groups = await fetchItems(client, { root: 'scaling_groups', fields: LIST_FIELDS });
    await printWholeList({ io, globals }, LIST_FIELDS, groups);
    return 0;
  },
});

export const add = defineCommand({
  positionals: { name },
  options: {
    description: optionWithDefault(DESCRIPTION_FLAGS, 'TEXT', 'Remarks.', '', String),
    inactive: flag(['--inactive'], 'Do not let it be used yet.'),
    isPrivate: flag(['--private'], 'Only administrators can choose it for sessions.'),
    driver: optionWithDefault(...texts.driver, 'static', String),
    driverOptions: optionWithDefault(...texts.driverOptions, '{}', jsonObjectText),
    scheduler: optionWithDefault(...texts.scheduler, 'fifo', String),
    schedulerOptions: optionWithDefault(...texts.schedulerOptions, '{}', jsonObjectText),
    useHostNetwork: flag(['--use-host-network'], "Let containers use their host's network."),
    ...wsproxyOptions,
  },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const props = {
      description: options.description,
      is_active: !options.inactive,
      is_public: !options.isPrivate,
      driver: options.driver,
      driver_opts: options.driverOptions,
      scheduler: options.scheduler,
      scheduler_opts: options.schedulerOptions,
      use_host_network: options.useHostNetwork,
      wsproxy_addr: options.wsproxyAddr,
      wsproxy_api_token: options.wsproxyToken ?? io.env.BACKEND_WSPROXY_API_TOKEN,
    };
    return runMutation({ io, globals }, client, {
      root: 'create_scaling_group',
      variables: { name: ['String!', args.name], props: ['CreateScalingGroupInput!', props] },
      itemName: 'scaling_group',
      actionName: 'add',
      fields: [{ key: 'name' }],
    });
  },
});

export const update = defineCommand({
  positionals: { name },
  options: {
    description: option(DESCRIPTION_FLAGS, 'TEXT', 'Remarks.'),
    isActive: option(['-a', '--active'], 'BOOL', 'Whether it can be used.', booleanExpression),
    isPrivate: option(
      ['--private'],
      'BOOL',
      'Whether only administrators can choose it for sessions.',
      booleanExpression,
    ),
    driver: option(...texts.driver),
    driverOptions: option(...texts.driverOptions, jsonObjectText),
    scheduler: option(...texts.scheduler),
    schedulerOptions: option(...texts.schedulerOptions, jsonObjectText),
    useHostNetwork: option(
      ['--use-host-network'],
      'BOOL',
      "Whether containers use their host's network.",
      booleanExpression,
    ),
    ...wsproxyOptions,
  },
  async run({ options, args, io, globals }) {
    const props = changesOf({
      description: options.description,
      is_active: options.isActive,
      is_public: options.isPrivate === undefined ? undefined : !options.isPrivate,
      driver: options.driver,
      driver_opts: options.driverOptions,
      scheduler: options.scheduler,
      scheduler_opts: options.schedulerOptions,
      use_host_network: options.useHostNetwork,
      wsproxy_addr: options.wsproxyAddr === '' ? null : options.wsproxyAddr,
      wsproxy_api_token: options.wsproxyToken ?? io.env.BACKEND_WSPROXY_API_TOKEN,
    });
    const client = await connectAdmin({ io, globals });
    return runMutation({ io, globals }, client, {
      root: 'modify_scaling_group',
      variables: { name: ['String!', args.name], props: ['ModifyScalingGroupInput!', props] },
      itemName: 'scaling_group',
      actionName: 'update',
      extra: { name: args.name },
    });
  },
});

export const remove = subjectCommand({
  subject: name,
  key: 'name',
  root: 'delete_scaling_group',
  itemName: 'scaling_group',
  actionName: 'deletion',
});

const association = (verb: 'associate' | 'disassociate', done: string, noun: string): Command =>
  defineCommand({
    positionals: {
      group: argument('SCALING_GROUP', 'Name of the resource group.'),
      domain: argument('DOMAIN', 'Name of the domain.'),
    },
    async run({ args, io, globals }) {
      const client = await connectAdmin({ io, globals });
      return runMutation({ io, globals }, client, {
        root: `${verb}_scaling_group_with_domain`,
        variables: { scaling_group: ['String!', args.group], domain: ['String!', args.domain] },
        itemName: 'scaling_group',
        actionName: `scaling_group_${noun}`,
        extra: { detail_msg: `Scaling group ${args.group} is ${done} domain ${args.domain}.` },
      });
    },
  });

export const associate = association('associate', 'associated with', 'association');
export const dissociate = association('disassociate', 'dissociated from', 'dissociation');
