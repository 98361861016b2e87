/** `admin agent list`. */
import { defineCommand, option, optionWithDefault } from '../../../common/command.ts';
import { connect } from '../../connect.ts';
import type { Field } from '../../output/fields.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchListPage } from '../../output/query-list.ts';
import { printList } from '../../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'status' },
  { key: 'architecture' },
  { key: 'scaling_group' },
  { key: 'region' },
  { key: 'first_contact' },
  { key: 'available_slots', format: 'slots' },
  { key: 'occupied_slots', format: 'slots' },
];

export default defineCommand({
  options: {
    status: optionWithDefault(['-s', '--status'], 'STATUS', 'Only this status.', 'ALIVE', String),
    scalingGroup: option(['--scaling-group', '--sgroup'], 'NAME', 'Only this resource group.'),
    ...pageOptions,
  },
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const query = {
      root: 'agent_list',
      fields: FIELDS,
      variables: {
        status: ['String', options.status],
        scaling_group: ['String', options.scalingGroup],
        filter: ['String', options.filter],
        order: ['String', options.order],
      },
    } as const;
    await printList({ io, globals }, FIELDS, options, (offset, limit) =>
      fetchListPage(client, query, offset, limit),
    );
    return 0;
  },
});
