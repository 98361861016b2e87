/** `dotfile`: small files that sessions start with. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  argument,
  type Command,
  type CommandIo,
  defineCommand,
  flag,
  type OptionSpecs,
  option,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { confirmed } from '../admin/shared.ts';
import { connect } from '../connect.ts';
import { readInput } from '../framework/prompt.ts';
import type { Field } from '../output/fields.ts';
import { itemsDocument, printJson } from '../output/json.ts';
import { printWholeList } from '../output/results.ts';

const DATA_PREVIEW_CHARS = 30;

const path = argument('PATH', 'Where the file is to be, below the home folder.');
const holderOptions = {
  ownerAccessKey: option(
    ['-o', '--owner', '--owner-access-key'],
    'AK',
    'The keypair whose file it is (administrators).',
  ),
  domain: option(['-d', '--domain'], 'NAME', "A file of this domain's sessions."),
  group: option(
    ['-g', '--group'],
    'NAME|ID',
    "A file of this project's sessions; with a name give the domain too.",
  ),
} satisfies OptionSpecs;

function permissionOf(text: string): string {
  if (/^[0-7]{3}$/.test(text)) return text;
  throw new UsageError(`'${text}' is not three octal digits such as 644.`);
}

async function contentOf(io: CommandIo, file: string | undefined): Promise<string> {
  if (file === undefined || file === '-') return readInput(io);
  try {
    return readFileSync(resolve(io.cwd, file), 'utf8');
  } catch (error) {
    throw new UserError(`Cannot read ${file}: ${errorMessage(error)}`, { cause: error });
  }
}

const writing = (verb: 'create' | 'update', done: string): Command =>
  defineCommand({
    positionals: { path },
    options: {
      permission: optionWithDefault(
        ['--perm'],
        'PERM',
        'Its permissions as octal digits.',
        '755',
        permissionOf,
      ),
      file: option(['-f', '--file'], 'FILE', 'Its content; standard input when absent.'),
      ...holderOptions,
    },
    async run({ options, args, io, globals }) {
      const data = await contentOf(io, options.file);
      const client = await connect({ io, globals });
      const file = { path: args.path, data, permission: options.permission };
      await client.dotfile[verb](file, options);
      if (globals.output === 'json') printJson(io, { ok: true, path: args.path });
      else printStatus(io.stderr, 'info', `Dotfile ${args.path} ${done}`);
      return 0;
    },
  });

export const create = writing('create', 'created and ready');
export const update = writing('update', 'updated');

export const get = defineCommand({
  positionals: { path },
  options: holderOptions,
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const file = await client.dotfile.get(args.path, options);
    if (globals.output === 'json') printJson(io, itemsDocument([file], 1));
    else io.stdout.write(file.data.endsWith('\n') ? file.data : `${file.data}\n`);
    return 0;
  },
});

const FIELDS: readonly Field[] = [{ key: 'path' }, { key: 'data' }, { key: 'permission' }];

const preview = (data: string): string => data.slice(0, DATA_PREVIEW_CHARS).split('\n', 1)[0] ?? '';

export const list = defineCommand({
  options: holderOptions,
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const files = await client.dotfile.list(options);
    const isJson = globals.output === 'json';
    if (files.length === 0 && !isJson) {
      io.stdout.write('There is no dotfile yet.\n');
      return 0;
    }
    const shown = files.map((file) => ({
      ...file,
      data: isJson ? file.data : preview(file.data),
    }));
    await printWholeList({ io, globals }, FIELDS, shown);
    return 0;
  },
});

export const remove = defineCommand({
  positionals: { path },
  options: { force: flag(['-f', '--force'], 'Do not ask.'), ...holderOptions },
  async run({ options, args, io, globals }) {
    if (!(await confirmed({ io }, options.force))) return 1;
    const client = await connect({ io, globals });
    await client.dotfile.delete(args.path, options);
    if (globals.output === 'json') printJson(io, { ok: true, path: args.path });
    else printStatus(io.stderr, 'info', `Dotfile ${args.path} deleted`);
    return 0;
  },
});
