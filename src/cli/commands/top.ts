/** `top`: nodes, sessions and the queue with its reasons, live. */
import { systemClock } from '../../common/clock.ts';
import { defineCommand, flag, option, UsageError } from '../../common/command.ts';
import { parseDurationMs } from '../../common/sizes.ts';
import { connect } from '../connect.ts';
import { printJson, snakeKeys } from '../output/json.ts';
import { AS_IT_COMES } from '../top/arrange.ts';
import { drawTop } from '../top/draw.ts';
import { seesEverything, takeSnapshot } from '../top/snapshot.ts';

const DEFAULT_MS = 2000;
const SHORTEST_MS = 500;
const LONGEST_MS = 3_600_000;

function readDelay(text: string): number {
  const delay = parseDurationMs(text);
  if (delay === null || delay < SHORTEST_MS || delay > LONGEST_MS) {
    throw new UsageError(`'${text}' is not a time between 0.5 seconds and an hour, such as 2s.`);
  }
  return delay;
}

export default defineCommand({
  help:
    'Show nodes, sessions and the queue, live: what is used, by whom, and why others wait. ' +
    'Administrators see everything, others their own sessions. Off a terminal, and with --once, it ' +
    'prints what there is now. At a terminal rows are sorted, filtered and told of in full: ? shows the keys.',
  options: {
    delay: option(['-d', '--delay'], 'TIME', 'Time between two looks. [default: 2s]', readDelay),
    once: flag(['--once'], 'Print what there is now, and end.'),
  },
  async run({ options: { delay, once }, io, globals }) {
    // On this machine's cluster both accounts are the user's, and the administrator sees more.
    const client = await connect({ io, globals }, { localAccount: 'admin' });
    const seesAll = await seesEverything(client);
    const take = () => takeSnapshot(client, seesAll);
    if (globals.output === 'json') {
      printJson(io, snakeKeys(await take()));
      return 0;
    }
    // A dumb terminal cannot draw anew.
    if (once || !io.stdout.isTTY || io.env.TERM === 'dumb') {
      const lines = drawTop(await take(), {
        columns: io.stdout.isTTY ? io.stdout.columns : Number.POSITIVE_INFINITY,
        rows: null,
        focus: null,
        chosen: { nodes: 0, sessions: 0, queue: 0 },
        arrangement: AS_IT_COMES,
        nowMs: systemClock.now().getTime(),
      });
      io.stdout.write(`${lines.map(({ text }) => text).join('\n')}\n`);
      return 0;
    }
    // What draws asks for this one only, and when it is loaded.
    if (io.env.NO_COLOR) process.env.FORCE_COLOR = '0';
    const { showTop } = await import('../top/screen.tsx');
    await showTop({
      endpoint: await client.endpoint(),
      clock: systemClock,
      everyMs: delay ?? DEFAULT_MS,
      take,
    });
    return 0;
  },
});
