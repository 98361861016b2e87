/** `admin etcd`: the cluster's configuration, key by key. */
import { argument, defineCommand, flag } from '../../../common/command.ts';
import { printStatus } from '../../../common/glyphs.ts';
import { connectAdmin } from '../../connect.ts';
import { isRecord } from '../../output/fields.ts';
import { printJson } from '../../output/json.ts';

const key = argument('KEY', 'The key, its parts separated by slashes.');
const PREFIX_FLAGS = ['-p', '--prefix'] as const;

/** An object if the text is JSON of one, which is stored as a tree of keys; else the text itself. */
function readValue(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : text;
  } catch {
    return text;
  }
}

export const get = defineCommand({
  help: 'Print a value as JSON; null when there is none.',
  options: { prefix: flag(PREFIX_FLAGS, 'Print everything at and below the key.') },
  positionals: { key },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    printJson(io, await client.cluster.getConfig(args.key, options.prefix));
    return 0;
  },
});

export const set = defineCommand({
  help: 'Set a value. A JSON object is stored as a tree of keys, anything else as text.',
  positionals: { key, value: argument('VALUE', 'The value.') },
  async run({ args, io, globals }) {
    const value = readValue(args.value);
    const client = await connectAdmin({ io, globals }, { announces: false });
    await client.cluster.setConfig(args.key, value);
    if (globals.output === 'json') printJson(io, { result: 'ok' });
    else printStatus(io.stderr, 'done', `Set ${args.key}.`);
    return 0;
  },
});

export const remove = defineCommand({
  options: { prefix: flag(PREFIX_FLAGS, 'Delete everything at and below the key.') },
  positionals: { key },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    await client.cluster.deleteConfig(args.key, options.prefix);
    if (globals.output === 'json') printJson(io, { result: 'ok' });
    else printStatus(io.stderr, 'done', `Deleted ${args.key}.`);
    return 0;
  },
});
