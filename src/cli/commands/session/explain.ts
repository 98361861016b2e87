/** `session explain`: why a session waits, and what would start it. */
import * as v from 'valibot';
import { argument, defineCommand } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { connectAnnounced } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { sessionIdOf } from '../../session/reference.ts';

const explanation = v.object({
  starts_now: v.boolean(),
  agent_ids: v.array(v.string()),
  failed_rules: v.array(v.object({ name: v.string(), message: v.string() })),
  passed_rules: v.array(v.string()),
  queue_position: v.number(),
  queue_length: v.number(),
  is_behind_reservation: v.boolean(),
  has_reservation: v.boolean(),
  closest_agents: v.array(
    v.object({
      kernel_ids: v.array(v.string()),
      agent_id: v.nullable(v.string()),
      wrong_architecture: v.nullable(v.string()),
      lacks_image: v.boolean(),
      has_too_many_sessions: v.boolean(),
      missing: v.array(
        v.object({
          slot: v.string(),
          requested: v.string(),
          available: v.string(),
          missing: v.string(),
        }),
      ),
    }),
  ),
  preemption: v.nullable(
    v.object({ state: v.picklist(['waiting', 'next', 'disabled']), sessions: v.number() }),
  ),
  estimated_start: v.nullable(v.string()),
  suggestion: v.nullable(
    v.object({
      summary: v.string(),
      resources: v.nullable(v.string()),
      cluster_size: v.nullable(v.number()),
      cluster_mode: v.nullable(v.string()),
      any_agent: v.boolean(),
      start_now: v.boolean(),
      without_dependencies: v.boolean(),
    }),
  ),
});
type Explanation = v.InferOutput<typeof explanation>;

const answer = v.object({
  compute_session_node: v.nullable(
    v.object({
      row_id: v.string(),
      name: v.nullable(v.string()),
      status: v.string(),
      status_info: v.nullable(v.string()),
      pending_explanation: v.nullable(explanation),
    }),
  ),
});

const DOCUMENT = `query($id: GlobalIDField!) { compute_session_node(id: $id) {
  row_id name status status_info pending_explanation {
    starts_now agent_ids failed_rules { name message } passed_rules queue_position queue_length
    is_behind_reservation has_reservation
    closest_agents { kernel_ids agent_id wrong_architecture lacks_image has_too_many_sessions
      missing { slot requested available missing } }
    preemption { state sessions } estimated_start
    suggestion { summary resources cluster_size cluster_mode any_agent start_now
      without_dependencies }
  } } }`;

function describeClosest(closest: Explanation['closest_agents'][number]): string {
  const agent = closest.agent_id === null ? 'the closest agent' : `agent ${closest.agent_id}`;
  const parts = [
    ...(closest.wrong_architecture === null ? [] : [`is ${closest.wrong_architecture}`]),
    ...(closest.lacks_image ? ['does not have the image, which no registry has either'] : []),
    ...(closest.has_too_many_sessions ? ['has as many sessions as it may'] : []),
    ...closest.missing.map(
      ({ slot, requested, available, missing }) =>
        `lacks ${missing} of ${slot} (${available} of ${requested})`,
    ),
  ];
  return `Closest: ${agent} ${parts.join(', ')}.`;
}

function describePreemption({ state, sessions }: NonNullable<Explanation['preemption']>): string {
  const who = `${sessions} session${sessions === 1 ? '' : 's'} of lower priority`;
  switch (state) {
    case 'waiting':
      return `It waits for ${sessions} session${sessions === 1 ? '' : 's'} being preempted or ending.`;
    case 'next':
      return `The next pass of the scheduler preempts ${who} for it.`;
    case 'disabled':
      return `Preempting ${who} would let it in, but its resource group does not have preemption enabled.`;
  }
}

function linesOf(found: Explanation): string[] {
  const place = `Place ${found.queue_position} of ${found.queue_length} in the queue.`;
  if (found.starts_now) {
    const where = found.agent_ids.length > 0 ? ` on ${found.agent_ids.join(', ')}` : '';
    return [`It starts in the next pass of the scheduler${where}.`, place];
  }
  return [
    ...found.failed_rules.map(({ name, message }) => `${name}: ${message}`),
    ...found.closest_agents.map(describeClosest),
    place,
    ...(found.has_reservation ? ['Agents are kept free for it.'] : []),
    ...(found.is_behind_reservation
      ? ['Agents are kept free for a session that has waited longer.']
      : []),
    // Where agents may be named, the rule's message tells of those who leave.
    ...(found.preemption && !found.failed_rules.some(({ message }) => message.includes('waits for'))
      ? [describePreemption(found.preemption)]
      : []),
    found.estimated_start === null
      ? 'When it starts cannot be known: what runs has no known end, or none that helps.'
      : `Estimated start: ${found.estimated_start}`,
    found.suggestion?.summary ?? 'No change to the request alone would start it now.',
  ];
}

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id of the session, or the name of a live one.') },
  async run({ args, io, globals }) {
    const client = await connectAnnounced({ io, globals });
    const id = await sessionIdOf(client, args.session);
    const found =
      id === null
        ? null
        : (await client.graphql.query(answer, DOCUMENT, { id })).compute_session_node;
    if (found === null) {
      throw new UserError(`There is no session '${args.session}' that is yours.`, {
        hint: 'See `backend.ai ps` for those you have.',
      });
    }
    const { row_id, name, status, status_info, pending_explanation } = found;
    if (globals.output === 'json') {
      printJson(io, { id: row_id, name, status, explanation: pending_explanation });
      return 0;
    }
    const lines = pending_explanation
      ? linesOf(pending_explanation)
      : [`It does not wait: it is ${status}${status_info ? ` (${status_info})` : ''}.`];
    io.stdout.write(`${[`${name ?? row_id}: ${status}`, ...lines].join('\n')}\n`);
    return 0;
  },
});
