/** `server-logs`: errors that clients have reported to the server. */
import { defineCommand, flag, integer, optionWithDefault } from '../../common/command.ts';
import { connect } from '../connect.ts';
import { itemsDocument, printJson } from '../output/json.ts';
import { withoutControls } from '../output/table.ts';

const MAX_PAGE_SIZE = 100;

const timeOf = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');

export const list = defineCommand({
  help: 'Show reported errors, the newest first: your own, or those of all that you administer.',
  options: {
    markRead: flag(['--mark-read'], 'Mark what is shown as read.'),
    pageSize: optionWithDefault(
      ['-l', '--page-size'],
      'INT',
      'Errors to show.',
      20,
      integer({ min: 1, max: MAX_PAGE_SIZE }),
    ),
    pageNumber: optionWithDefault(
      ['-n', '--page-number'],
      'INT',
      'Which page of them.',
      1,
      integer({ min: 1 }),
    ),
  },
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const { logs, count } = await client.errorLog.list(options);
    if (globals.output === 'json') {
      printJson(io, itemsDocument(logs, count));
      return 0;
    }
    io.stdout.write(`Total log count: ${count}\n`);
    for (const log of logs) {
      const { severity, source, user, request_status, request_url, message, traceback } = log;
      const lines = [
        '----',
        `${timeOf(log.created_at)} ${severity.toUpperCase()} ${source} ${user ?? '(null)'}`,
        ...(request_url === null ? [] : [`${request_status ?? '(null)'} ${request_url}`]),
        message,
        ...(traceback === null ? [] : [traceback]),
      ];
      io.stdout.write(`${withoutControls(lines.join('\n'))}\n`);
    }
    return 0;
  },
});
