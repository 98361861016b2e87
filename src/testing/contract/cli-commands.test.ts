/**
 * Upstream's commands and ours: `cli-commands.json` lists upstream's for the entities of the admin
 * API, with how many arguments and which options each has. Those under `absent` are not built yet.
 */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import * as v from 'valibot';
import { isGroup, loadCommands } from '../../cli/framework/program.ts';
import { clientCommands } from '../../cli/tree.ts';
import type { Command, CommandRecord } from '../../common/command.ts';

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
const { commands, absent } = v.parse(
  table,
  await Bun.file(join(import.meta.dir, 'cli-commands.json')).json(),
);

async function find(path: string): Promise<Command | null> {
  let level: CommandRecord = clientCommands;
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

const built = Object.entries(commands).filter(([path]) => !absent.includes(path));

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
