/** `ps`, `session list`: sessions in a table. */
import * as v from 'valibot';
import type { Client } from '../../../client/index.ts';
import { choice, defineCommand, flag, option } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { connectAnnounced } from '../../connect.ts';
import type { Field } from '../../output/fields.ts';
import { pageOptions } from '../../output/page-options.ts';
import { fetchListPage } from '../../output/query.ts';
import { printList } from '../../output/results.ts';
import {
  fieldsNamed,
  SESSION_STATUSES,
  sessionFields,
  statusFilter,
} from '../../session/fields.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;

const ownKeypair = v.object({
  keypair: v.nullable(v.object({ is_admin: v.nullable(v.boolean()) })),
});

async function isAdmin(client: Client): Promise<boolean> {
  const answer = await client.graphql.query(ownKeypair, 'query { keypair { is_admin } }');
  return answer.keypair?.is_admin === true;
}

function namedFields(text: string): Field[] {
  return text.split(',').map((name) => {
    const found = sessionFields.get(name.trim());
    if (found === undefined || found.key === 'containers') {
      const names = [...sessionFields.keys()].filter((key) => key !== 'containers');
      throw new UserError(`'${name.trim()}' is not a field of a session list.`, {
        hint: `The fields are: ${names.join(', ')}.`,
        exitCode: INVALID_ARGUMENT_EXIT_CODE,
      });
    }
    return found;
  });
}

async function shownFields(
  client: Client,
  options: { format?: string; nameOnly: boolean; detail: boolean },
): Promise<Field[]> {
  if (options.format !== undefined) return namedFields(options.format);
  if (options.nameOnly) return fieldsNamed(['name']);
  const names = [
    'name',
    ...((await isAdmin(client)) ? ['access_key'] : []),
    ...['priority', 'id', 'group_name', 'type', 'image', 'status', 'status_info'],
    ...['status_changed', 'result'],
    ...(options.detail ? ['tag', 'created_at', 'occupying_slots'] : []),
  ];
  return fieldsNamed(names);
}

export default defineCommand({
  help: 'List sessions: those that are not over, unless told otherwise.',
  options: {
    status: option(
      ['-s', '--status'],
      'STATUS',
      'Only this status, or ALL.',
      choice([...SESSION_STATUSES, 'ALL']),
    ),
    accessKey: option(['--access-key'], 'AK', 'Sessions of this keypair (administrators).'),
    nameOnly: flag(['--name-only'], 'Show only names.'),
    dead: flag(['--dead'], 'Only sessions that are over.'),
    running: flag(['--running'], 'Only sessions that run or are about to.'),
    detail: flag(['--detail'], 'Show more columns.'),
    format: option(['-f', '--format'], 'A,B', 'Fields to show.'),
    plain: flag(['--plain'], 'Rows alone, without the header.'),
    all: flag(['-a', '--all'], 'Sessions of every status.'),
    ...pageOptions,
  },
  async run({ options, io, globals }) {
    const client = await connectAnnounced({ io, globals });
    const fields = await shownFields(client, options);
    const query = {
      root: 'compute_session_list',
      fields,
      variables: {
        status: ['String', statusFilter(options)],
        access_key: ['String', options.accessKey],
        filter: ['String', options.filter],
        order: ['String', options.order],
      },
    } as const;
    await printList({ io, globals }, fields, options, (offset, limit) =>
      fetchListPage(client, query, offset, limit),
    );
    return 0;
  },
});
