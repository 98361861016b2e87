/** `mgr etcd`: the cluster's configuration, key by key or as JSON. */
import * as v from 'valibot';
import { argument, choice, defineCommand, flag, optionWithDefault } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import {
  type ConfigScope,
  fromTree,
  mergeListings,
  quote,
  readPrefixes,
  toTree,
  unquote,
  writePrefix,
} from '../../stores/config/scopes.ts';
import { configOptions, readInput, withConfigStore } from './context.ts';

const options = {
  ...configOptions,
  scope: optionWithDefault<ConfigScope>(
    ['-s', '--scope'],
    'SCOPE',
    'Where the key lies: GLOBAL, SGROUP, NODE or MERGED. Scopes of a group or node need its prefix in the key.',
    'GLOBAL',
    (text) => choice(['GLOBAL', 'SGROUP', 'NODE', 'MERGED'])(text.toUpperCase()),
  ),
};
const prefix = flag(['--prefix'], 'Everything at and below the key.');
const key = argument('KEY', 'The key, its parts separated by slashes.');

function writable(scope: ConfigScope): string {
  try {
    return writePrefix(scope);
  } catch (error) {
    throw new UserError(`Cannot write in this scope: ${errorMessage(error)}.`, {
      hint: 'Use the scope GLOBAL with a key such as sgroup/<name>/… or nodes/agents/<id>/….',
    });
  }
}

/** Entries at or below a key, under keys as the user wrote them. */
async function listScoped(
  store: ConfigStore,
  scope: ConfigScope,
  below: string,
): Promise<Map<string, string>> {
  const listings = await Promise.all(
    readPrefixes(scope).map(async (scopePrefix) => {
      const listing = await store.list(`${scopePrefix}${below}`);
      return new Map([...listing].map(([name, value]) => [name.slice(scopePrefix.length), value]));
    }),
  );
  return mergeListings(listings);
}

export const put = defineCommand({
  options,
  positionals: { key, value: argument('VALUE', 'The value, any text.') },
  async run({ options: { config, scope }, args, io }) {
    const at = `${writable(scope)}${args.key}`;
    await withConfigStore({ io, configPath: config }, (store) => store.put(at, args.value));
    return 0;
  },
});

export const putJson = defineCommand({
  options,
  positionals: { key, file: argument('FILE', 'A JSON object; - for standard input.') },
  async run({ options: { config, scope }, args, io }) {
    const base = writable(scope);
    const entries = parseTree(args.key, args.file, await readInput(io, args.file));
    const scoped = new Map([...entries].map(([name, value]) => [`${base}${name}`, value]));
    await withConfigStore({ io, configPath: config }, (store) => store.putMany(scoped));
    return 0;
  },
});

function parseTree(at: string, file: string, text: string): Map<string, string> {
  try {
    const content: unknown = JSON.parse(text);
    if (Array.isArray(content)) throw new RangeError('the top level is a list');
    return fromTree(at, v.parse(v.record(v.string(), v.unknown()), content));
  } catch (error) {
    throw new UserError(`${file} is not a JSON object of values: ${errorMessage(error)}`);
  }
}

export const get = defineCommand({
  options: { ...options, prefix },
  positionals: { key },
  async run({ options: { config, scope, prefix: wholeTree }, args, io }) {
    return withConfigStore({ io, configPath: config }, async (store) => {
      if (wholeTree) {
        const tree = toTree(await listScoped(store, scope, args.key), args.key);
        io.stdout.write(`${JSON.stringify(tree, null, 2)}\n`);
        return 0;
      }
      for (const scopePrefix of readPrefixes(scope)) {
        const value = await store.get(`${scopePrefix}${args.key}`);
        if (value === null) continue;
        io.stdout.write(`${value}\n`);
        return 0;
      }
      io.stderr.write(`There is no key '${args.key}'.\n`);
      return 1;
    });
  },
});

export const remove = defineCommand({
  options: { ...options, prefix },
  positionals: { key },
  async run({ options: { config, scope, prefix: wholeTree }, args, io }) {
    const at = `${writable(scope)}${args.key}`;
    return withConfigStore({ io, configPath: config }, async (store) => {
      const count = wholeTree ? await store.deletePrefix(at) : Number(await store.delete(at));
      const what = wholeTree ? `key at or below '${args.key}'` : `key '${args.key}'`;
      io.stderr.write(count === 0 ? `There is no ${what}.\n` : `Deleted ${count} ${what}.\n`);
      return 0;
    });
  },
});

export const moveSubtree = defineCommand({
  options,
  positionals: {
    source: argument('SRC', 'The key to move, with everything below it.'),
    target: argument('DST', 'Its new name.'),
  },
  async run({ options: { config, scope }, args, io }) {
    const base = writable(scope);
    const source = args.source.replace(/\/$/, '');
    const target = args.target.replace(/\/$/, '');
    if (`${target}/`.startsWith(`${source}/`) || `${source}/`.startsWith(`${target}/`)) {
      throw new UserError('A subtree cannot be moved into itself or onto its parent.');
    }
    return withConfigStore({ io, configPath: config }, async (store) => {
      const listing = await store.list(`${base}${source}`);
      if (listing.size === 0) {
        io.stderr.write(`There is no key at or below '${source}'.\n`);
        return 1;
      }
      const moved = new Map(
        [...listing].map(([name, value]) => [
          `${base}${target}${name.slice(base.length + source.length)}`,
          value,
        ]),
      );
      await store.putMany(moved);
      await store.deletePrefix(`${base}${source}`);
      return 0;
    });
  },
});

const proxy = argument('PROXY', 'Name of the storage proxy.');

/** The key of the resource groups whose sessions serve SFTP for a storage proxy. */
async function sftpGroupsKey(store: ConfigStore, scope: ConfigScope, name: string) {
  const base = `${writable(scope)}volumes/proxies/${quote(name)}`;
  if ((await store.list(base)).size === 0) {
    throw new UserError(`There is no storage proxy '${name}'.`, {
      hint: 'See `backend.ai mgr etcd get --prefix volumes/proxies`.',
    });
  }
  return `${base}/sftp_scaling_groups`;
}

export const setSftpGroups = defineCommand({
  help: 'Name the resource groups whose sessions serve SFTP for a storage proxy.',
  options,
  positionals: { proxy, groups: argument('SCALING_GROUPS', 'Their names, separated by commas.') },
  async run({ options: { config, scope }, args, io }) {
    const groups = args.groups.split(',').map((name) => name.trim());
    if (groups.includes('')) throw new UserError('A name of a resource group is empty.');
    await withConfigStore({ io, configPath: config }, async (store) => {
      await store.put(await sftpGroupsKey(store, scope, args.proxy), groups.join(','));
    });
    return 0;
  },
});

export const removeSftpGroups = defineCommand({
  help: 'Let no resource group serve SFTP for a storage proxy.',
  options,
  positionals: { proxy },
  async run({ options: { config, scope }, args, io }) {
    await withConfigStore({ io, configPath: config }, async (store) => {
      await store.delete(await sftpGroupsKey(store, scope, args.proxy));
    });
    return 0;
  },
});

const text = argument('VALUE', 'One part of a key.');

export const quoteText = defineCommand({
  positionals: { text },
  async run({ args, io }) {
    io.stdout.write(`${quote(args.text)}\n`);
    return 0;
  },
});

export const unquoteText = defineCommand({
  positionals: { text },
  async run({ args, io }) {
    io.stdout.write(`${unquote(args.text)}\n`);
    return 0;
  },
});
