/** `session status-history`: when a session had which status, and how long it held resources. */
import { argument, defineCommand } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

export type StatusTimes = Readonly<Record<string, string | null>>;

/**
 * From the time resources were taken until they were given back.
 * @returns milliseconds; null when the session has not got that far.
 */
export function allocationMs(history: StatusTimes): number | null {
  const times = new Map(
    Object.entries(history).map(([status, time]) => [status.toLowerCase(), time]),
  );
  const start = times.get('preparing') ?? times.get('scheduled') ?? null;
  const end = times.get('terminated') ?? null;
  if (start === null || end === null) return null;
  const duration = Date.parse(end) - Date.parse(start);
  return Number.isFinite(duration) && duration >= 0 ? duration : null;
}

/** The earliest status first; those without a time last. */
function inOrder(history: StatusTimes): StatusTimes {
  const timeOf = (time: string | null) =>
    time === null ? Number.POSITIVE_INFINITY : Date.parse(time);
  const entries = Object.entries(history).sort(([, a], [, b]) => timeOf(a) - timeOf(b));
  return Object.fromEntries(entries);
}

export default defineCommand({
  positionals: { session: argument('SESSION_ID', 'Id or name.') },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const history = inOrder(await client.session.statusHistory(args.session));
    const duration = allocationMs(history);
    if (globals.output === 'json') {
      const seconds = duration === null ? null : duration / 1000;
      printJson(io, { status_history: history, allocation_seconds: seconds });
      return 0;
    }
    io.stdout.write(`status_history: ${JSON.stringify(history, null, 2)}\n`);
    if (duration === null) {
      printStatus(io.stderr, 'info', 'Its resources have not been given back yet.');
    } else {
      printStatus(
        io.stderr,
        'done',
        `Actual Resource Allocation Time: ${(duration / 1000).toFixed(3)} seconds`,
      );
    }
    return 0;
  },
});
