/** `session-template`: what sessions can be made from, stored on the server. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  argument,
  type CommandIo,
  choice,
  defineCommand,
  flag,
  option,
  optionWithDefault,
} from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { printStatus } from '../../common/glyphs.ts';
import { connect } from '../connect.ts';
import { confirm, LineReader, readInput } from '../framework/prompt.ts';
import { itemsDocument, printJson } from '../output/json.ts';
import { formatTable } from '../output/table.ts';

const id = argument('TEMPLATE_ID', 'Id of the template.');
const owner = option(
  ['-o', '--owner', '--owner-access-key'],
  'AK',
  'Act for the owner of another keypair (administrators).',
);
const file = option(
  ['-f', '--file'],
  'FILE',
  'The template in YAML or JSON; standard input when absent.',
);

async function contentOf(io: CommandIo, path: string | undefined): Promise<string> {
  if (path === undefined || path === '-') return readInput(io);
  try {
    return readFileSync(resolve(io.cwd, path), 'utf8');
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${errorMessage(error)}`, { cause: error });
  }
}

export const create = defineCommand({
  options: {
    file,
    domain: option(['-d', '--domain'], 'NAME', 'Domain; BACKEND_DOMAIN when absent.'),
    group: option(['-g', '--group'], 'NAME', 'Project; BACKEND_GROUP when absent.'),
    owner,
  },
  async run({ options, io, globals }) {
    const text = await contentOf(io, options.file);
    const client = await connect({ io, globals });
    const ids = await client.template.create(text, {
      domain: options.domain ?? client.config.domain,
      group: options.group ?? client.config.group,
      ownerAccessKey: options.owner,
    });
    if (globals.output === 'json') printJson(io, { ok: true, template_ids: ids });
    else printStatus(io.stderr, 'info', `Task template ${ids.join(', ')} created and ready`);
    return 0;
  },
});

export const get = defineCommand({
  positionals: { id },
  options: {
    format: optionWithDefault(
      ['-f', '--format'],
      '[yaml|json]',
      'How to print it.',
      'yaml',
      choice(['yaml', 'json']),
    ),
    owner,
  },
  async run({ options, args, io, globals }) {
    const client = await connect({ io, globals });
    const found = await client.template.get(args.id, options.owner);
    const json = globals.output === 'json' || options.format === 'json';
    if (json) printJson(io, found);
    else io.stdout.write(`${Bun.YAML.stringify(found, null, 2)}\n`);
    return 0;
  },
});

export const list = defineCommand({
  options: { all: flag(['-a', '--list-all'], "Everybody's (superadmins).") },
  async run({ options, io, globals }) {
    const client = await connect({ io, globals });
    const found = await client.template.list(options.all);
    if (globals.output === 'json') {
      printJson(io, itemsDocument(found, found.length));
    } else if (found.length === 0) {
      io.stdout.write('There is no task templates created yet.\n');
    } else {
      const rows = found.map((item) => [
        item.name,
        item.id,
        item.created_at ?? '',
        String(item.is_owner),
        item.type,
        item.user ?? '',
        item.group ?? '',
      ]);
      const titles = ['Name', 'ID', 'Created At', 'Owner', 'Type', 'User', 'Group'];
      io.stdout.write(formatTable(titles, rows));
    }
    return 0;
  },
});

export const update = defineCommand({
  positionals: { id },
  options: { file, owner },
  async run({ options, args, io, globals }) {
    const text = await contentOf(io, options.file);
    const client = await connect({ io, globals });
    await client.template.update(args.id, text, options.owner);
    if (globals.output === 'json') printJson(io, { ok: true, template_id: args.id });
    else printStatus(io.stderr, 'info', `Task template ${args.id} updated`);
    return 0;
  },
});

export const remove = defineCommand({
  positionals: { id },
  options: { force: flag(['-f', '--force'], 'Do not ask.'), owner },
  async run({ options, args, io, globals }) {
    const question = 'Are you sure? (y/[n]) ';
    if (!options.force && !(await confirm(io, new LineReader(io.input), question))) {
      printStatus(io.stderr, 'info', 'Aborting.');
      return 0;
    }
    const client = await connect({ io, globals });
    await client.template.delete(args.id, options.owner);
    if (globals.output === 'json') printJson(io, { ok: true, template_id: args.id });
    else printStatus(io.stderr, 'info', `Task template ${args.id} deleted`);
    return 0;
  },
});
