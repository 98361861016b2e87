/** `info`, `session info`: everything about one session. */
import * as v from 'valibot';
import { argument, defineCommand } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { connectAnnounced } from '../../connect.ts';
import { selection } from '../../output/fields.ts';
import { printItem } from '../../output/results.ts';
import { fieldsNamed } from '../../session/fields.ts';
import { sessionIdOf } from '../../session/reference.ts';

const FIELDS = fieldsNamed([
  ...['name', 'priority', 'id', 'main_kernel_id', 'image', 'tag', 'created_at', 'terminated_at'],
  ...['status', 'status_info', 'status_data', 'occupying_slots', 'containers', 'dependencies'],
]);

const answer = v.object({ compute_session: v.nullable(v.record(v.string(), v.unknown())) });

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id of the session, or the name of a live one.') },
  async run({ args, io, globals }) {
    const client = await connectAnnounced({ io, globals });
    const id = await sessionIdOf(client, args.session);
    if (id === null) {
      throw new UserError(`There is no live session named '${args.session}'.`, {
        hint: 'Sessions that ended are found by their id: see `backend.ai ps --dead`.',
      });
    }
    const document = `query($id: UUID!) { compute_session(id: $id) { ${selection(FIELDS)} } }`;
    const { compute_session: session } = await client.graphql.query(answer, document, { id });
    return printItem({ io, globals }, FIELDS, session);
  },
});
