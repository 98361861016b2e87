/**
 * Upstream's commands and ours: `cli-commands.json` lists upstream's for the entities of the admin API,
 * `server-commands.json` those of the server components, with how many arguments and which options each
 * has. Those under `absent` are not built yet.
 */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import * as v from 'valibot';
import { agCommands } from '../../agent/cli/index.ts';
import { coordinatorCommands } from '../../appproxy/coordinator/cli/index.ts';
import { workerCommands } from '../../appproxy/worker/cli/index.ts';
import { isGroup, loadCommands } from '../../cli/framework/program.ts';
import { clientCommands } from '../../cli/tree.ts';
import type { Command, CommandRecord } from '../../common/command.ts';
import { mgrCommands } from '../../manager/cli/index.ts';
import { storageCommands } from '../../storage/cli/index.ts';
import { webCommands } from '../../web/cli/index.ts';

const table = v.object({
  commands: v.record(
    v.string(),
    v.object({
      arguments: v.number(),
      options: v.array(v.string()),
      aliases: v.optional(v.array(v.string()), []),
    }),
  ),
  absent: v.array(v.string()),
});
const read = async (name: string) =>
  v.parse(table, await Bun.file(join(import.meta.dir, name)).json());
const lists = [await read('cli-commands.json'), await read('server-commands.json')];
const absent = lists.flatMap((list) => list.absent);

const servers: CommandRecord = {
  mgr: { description: '', commands: mgrCommands },
  ag: { description: '', commands: agCommands },
  storage: { description: '', commands: storageCommands },
  web: { description: '', commands: webCommands },
  'app-proxy-coordinator': { description: '', commands: coordinatorCommands },
  'app-proxy-worker': { description: '', commands: workerCommands },
};

async function find(path: string): Promise<Command | null> {
  let level: CommandRecord = { ...clientCommands, ...servers };
  const names = path.split(' ');
  for (const [index, name] of names.entries()) {
    const entry = Object.entries(level).find(
      ([key, candidate]) => key === name || candidate.aliases?.includes(name),
    )?.[1];
    if (entry === undefined) return null;
    if (!isGroup(entry)) return index === names.length - 1 ? (await entry.load()).default : null;
    level = await loadCommands(entry);
  }
  return null;
}

const built = lists
  .flatMap(({ commands }) => Object.entries(commands))
  .filter(([path]) => !absent.includes(path));

test.each(built)('%s has the arguments and options of upstream', async (path, wanted) => {
  const command = await find(path);
  expect(command).not.toBeNull();
  if (command === null) return;
  expect(Object.keys(command.positionals)).toHaveLength(wanted.arguments);
  const flags = Object.values(command.options).flatMap((spec) => [...spec.flags]);
  expect(wanted.options.filter((option) => !flags.includes(option))).toEqual([]);
  for (const alias of wanted.aliases) {
    expect(await find(`${path.slice(0, path.lastIndexOf(' '))} ${alias}`)).toBe(command);
  }
});

test('what is listed as absent is absent', async () => {
  const found = await Promise.all(
    absent.map(async (path) => [path, (await find(path)) !== null] as const),
  );
  expect(found.filter(([, isThere]) => isThere)).toEqual([]);
});
