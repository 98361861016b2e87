/** `mgr clear-history`: removes what has been over for long and gives its space back. */
import { systemClock } from '../../common/clock.ts';
import {
  booleanExpression,
  defineCommand,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { configOptions, withTables } from './context.ts';

const AGE = /^(\d{1,4})\s*(h|d|w|mo|yr)$/i;

/** The same day so many months earlier; the last day of a month that is shorter. */
function monthsBefore(time: Date, months: number): Date {
  const earlier = new Date(time);
  earlier.setUTCMonth(time.getUTCMonth() - months);
  if (earlier.getUTCDate() !== time.getUTCDate()) earlier.setUTCDate(0);
  return earlier;
}

const HOUR_MS = 3_600_000;

/** When something that is so old now began: `20d`, `1mo`, `1yr`. @throws UsageError. */
export function timeBefore(age: string, now: Date): Date {
  const [, digits = '', unit = ''] = AGE.exec(age.trim()) ?? [];
  const amount = Number(digits);
  const hoursBefore = (hours: number) => new Date(now.getTime() - hours * HOUR_MS);
  switch (unit.toLowerCase()) {
    case 'h':
      return hoursBefore(amount);
    case 'd':
      return hoursBefore(24 * amount);
    case 'w':
      return hoursBefore(7 * 24 * amount);
    case 'mo':
      return monthsBefore(now, amount);
    case 'yr':
      return monthsBefore(now, 12 * amount);
    default:
      throw new UsageError(`'${age}' is not an age such as 20d, 1mo, 6mo or 1yr.`);
  }
}

function readAge(text: string): string {
  timeBefore(text, systemClock.now());
  return text;
}

export const clear = defineCommand({
  help: 'Remove sessions that ended and errors that were reported long ago, then vacuum the database.',
  options: {
    ...configOptions,
    retention: optionWithDefault(
      ['-r', '--retention'],
      'AGE',
      'What is older goes: 20d, 1mo, 6mo, 1yr, …',
      '1yr',
      readAge,
    ),
    full: optionWithDefault(
      ['-v', '--vacuum-full'],
      'BOOL',
      'Give the space back to the file system; tables are locked meanwhile.',
      false,
      booleanExpression,
    ),
  },
  async run({ options: { config, retention, full }, io }) {
    const before = timeBefore(retention, systemClock.now());
    await withTables({ io, configPath: config }, async (sql, log) => {
      const { clearHistory, vacuum } = await import('../history/service.ts');
      const cleared = await clearHistory(sql, before, (soFar) =>
        log.info('removing', { ...soFar }),
      );
      io.stdout.write(
        `Removed ${cleared.sessions} sessions with ${cleared.kernels} kernels and ` +
          `${cleared.errors} reported errors from before ${before.toISOString()}.\n`,
      );
      log.info(full ? 'vacuuming, with tables locked' : 'vacuuming');
      await vacuum(sql, full);
      io.stdout.write('Vacuumed the database.\n');
    });
    return 0;
  },
});
