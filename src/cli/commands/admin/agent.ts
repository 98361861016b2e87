/** `admin agent`: the nodes of the cluster. */
import { argument, defineCommand, option, optionWithDefault } from '../../../common/command.ts';
import { connectAdmin } from '../../connect.ts';
import type { Field } from '../../output/fields.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchItem, fetchListPage } from '../../output/query.ts';
import { printItem, printList } from '../../output/results.ts';

const CPU_USAGE: Field = { key: 'cpu_cur_pct', title: 'CPU Usage (%)' };
const SLOTS: readonly Field[] = [
  { key: 'available_slots', format: 'slots' },
  { key: 'occupied_slots', format: 'slots' },
];
const LIST_FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'status' },
  { key: 'architecture' },
  { key: 'scaling_group' },
  { key: 'region' },
  { key: 'first_contact' },
  CPU_USAGE,
  { key: 'mem_cur_bytes', title: 'Used Memory (MiB)', format: 'mebibytes' },
  ...SLOTS,
];
const INFO_FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'status' },
  { key: 'status_changed' },
  { key: 'region' },
  { key: 'architecture' },
  { key: 'scaling_group' },
  { key: 'schedulable' },
  { key: 'addr' },
  { key: 'version' },
  { key: 'first_contact' },
  { key: 'lost_at' },
  CPU_USAGE,
  ...SLOTS,
  { key: 'hardware_metadata', format: 'nested' },
  { key: 'live_stat', format: 'statistics' },
  { key: 'local_config', format: 'nested' },
];

export const info = defineCommand({
  positionals: { agent: argument('AGENT_ID', 'Id of the agent.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const variables = { agent_id: ['String!', args.agent] } as const;
    const agent = await fetchItem(client, { root: 'agent', fields: INFO_FIELDS, variables });
    return printItem({ io, globals }, INFO_FIELDS, agent);
  },
});

export const list = defineCommand({
  options: {
    status: optionWithDefault(['-s', '--status'], 'STATUS', 'Only this status.', 'ALIVE', String),
    scalingGroup: option(['--scaling-group', '--sgroup'], 'NAME', 'Only this resource group.'),
    ...pageOptions,
  },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals });
    const query = {
      root: 'agent_list',
      fields: LIST_FIELDS,
      variables: {
        status: ['String', options.status],
        scaling_group: ['String', options.scalingGroup],
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
