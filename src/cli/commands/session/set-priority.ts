/** `session set-priority`: when a waiting session gets its turn. */
import * as v from 'valibot';
import { argument, defineCommand, integer } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { sessionIdOf } from '../../session/reference.ts';

const payload = v.object({ item: v.object({ name: v.string(), priority: v.number() }) });

const DOCUMENT = `mutation ($input: ModifyComputeSessionInput!) {
  modify_compute_session(input: $input) { item { name priority } } }`;

export default defineCommand({
  positionals: {
    session: argument('SESSION_ID_OR_NAME', 'The session.'),
    priority: argument('PRIORITY', '0 to 100; larger is earlier.', integer({ min: 0, max: 100 })),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const id = await sessionIdOf(client, args.session);
    if (id === null) throw new UserError(`There is no live session named '${args.session}'.`);
    const input = { id, priority: args.priority };
    const root = 'modify_compute_session';
    const { item } = await client.graphql.field(root, payload, DOCUMENT, { input });
    if (globals.output === 'json') printJson(io, { ok: true, ...item });
    else {
      const text = `Session '${item.name}' priority is changed to ${item.priority}.`;
      printStatus(io.stderr, 'done', text);
    }
    return 0;
  },
});
