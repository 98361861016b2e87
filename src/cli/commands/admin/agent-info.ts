/** `admin agent info`. */
import * as v from 'valibot';
import { argument, defineCommand } from '../../../common/command.ts';
import { connect } from '../../connect.ts';
import { type Field, selection } from '../../output/fields.ts';
import { printItem } from '../../output/results.ts';

const FIELDS: readonly Field[] = [
  { key: 'id' },
  { key: 'status' },
  { key: 'status_changed' },
  { key: 'architecture' },
  { key: 'scaling_group' },
  { key: 'region' },
  { key: 'schedulable' },
  { key: 'addr' },
  { key: 'version' },
  { key: 'first_contact' },
  { key: 'lost_at' },
  { key: 'available_slots', format: 'slots' },
  { key: 'occupied_slots', format: 'slots' },
];

const answer = v.object({ agent: v.nullable(v.record(v.string(), v.unknown())) });

export default defineCommand({
  positionals: { agent: argument('AGENT_ID', 'Id of the agent.') },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const document = `query($id: String!) { agent(agent_id: $id) { ${selection(FIELDS)} } }`;
    const { agent } = await client.graphql.query(answer, document, { id: args.agent });
    return printItem({ io, globals }, FIELDS, agent);
  },
});
