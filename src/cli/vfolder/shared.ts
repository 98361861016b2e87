/** What the folder commands share: options, and how results of several items read. */
import type { ItemResults } from '../../client/folder.ts';
import {
  argument,
  type CommandContext,
  integer,
  keyValue,
  type OptionSpecs,
  option,
  optionWithDefault,
  repeated,
  UsageError,
} from '../../common/command.ts';
import { printStatus } from '../../common/glyphs.ts';
import { parseSize } from '../../common/sizes.ts';
import { printJson } from '../output/json.ts';

export const nameArgument = argument('NAME', "The folder's name or id.");

const PERMISSIONS = ['ro', 'rw', 'wd'];
export const permissionOption = optionWithDefault(
  ['-p', '--perm', '--permission'],
  'PERM',
  'ro: read; rw: also write and delete files; wd: also when mounted.',
  'rw',
  (text) => {
    if (PERMISSIONS.includes(text)) return text;
    throw new UsageError(`'${text}' is none of ${PERMISSIONS.join(', ')}.`);
  },
);

const USAGE_MODES = ['general', 'data', 'model'];
export const usageModeOption = optionWithDefault(
  ['-m', '--usage-mode'],
  'MODE',
  'What it is for: general, data or model.',
  'general',
  (text) => {
    if (USAGE_MODES.includes(text)) return text;
    throw new UsageError(`'${text}' is none of ${USAGE_MODES.join(', ')}.`);
  },
);

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (size !== null && size >= 1024n * 64n && size <= 1024n ** 3n) return Number(size);
  throw new UsageError(`'${text}' is not a size between 64k and 1g, such as 16m.`);
}

/** Options of uploads and downloads. */
export const transferOptions = {
  basedir: option(
    ['-b', '--base-dir'],
    'PATH',
    'The folder on this machine to which file names are relative; the current one when absent.',
  ),
  chunkSize: optionWithDefault(
    ['--chunk-size'],
    'SIZE',
    'How much is sent at a time.',
    16 * 1024 ** 2,
    sizeOf,
  ),
  addresses: repeated(
    ['--override-storage-proxy'],
    'URL=URL',
    'Use another address of a storage proxy in place of the one that the server names.',
    keyValue,
  ),
  maxRetries: optionWithDefault(
    ['--max-retries'],
    'INT',
    'How often to go on after the connection broke.',
    20,
    integer({ min: 0, max: 1000 }),
  ),
} satisfies OptionSpecs;

interface TransferChoices {
  readonly chunkSize: number;
  readonly addresses: readonly (readonly [string, string])[];
  readonly maxRetries: number;
}

/** What the client is told of these options. */
export const transferSettings = ({ chunkSize, addresses, maxRetries }: TransferChoices) => ({
  chunkBytes: chunkSize,
  maxRetries,
  ...(addresses.length > 0 && { addresses: new Map(addresses) }),
});

/** Says that something is done, in the way that `--output` chose. */
export function printDone(
  { io, globals }: Pick<CommandContext, 'io' | 'globals'>,
  text: string,
  facts: object,
): number {
  if (globals.output === 'json') printJson(io, { ok: true, ...facts });
  else printStatus(io.stderr, 'done', text);
  return 0;
}

/** @returns the exit code: 1 when something failed. */
export function printResults(
  { io, globals }: Pick<CommandContext, 'io' | 'globals'>,
  verb: readonly [past: string, infinitive: string],
  results: ItemResults,
): number {
  const { success, failed } = results;
  if (globals.output === 'json') printJson(io, results);
  else {
    if (success.length > 0) {
      const names = success.map(({ item }) => item).join('\n');
      printStatus(io.stderr, 'done', `Successfully ${verb[0]}:\n${names}`);
    }
    if (failed.length > 0) {
      const names = failed.map(({ item, msg }) => `${item}: ${msg ?? ''}`).join('\n');
      printStatus(io.stderr, 'fail', `Failed to ${verb[1]}:\n${names}`);
    }
  }
  return failed.length > 0 ? 1 : 0;
}
