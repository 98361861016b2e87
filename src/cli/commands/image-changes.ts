/** `image forget|purge` and `admin image alias|dealias|rescan`: changes of the catalogue of images. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import {
  argument,
  type CommandContext,
  defineCommand,
  flag,
  option,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { printStatus, WaitingLine } from '../../common/glyphs.ts';
import { connectAdmin, connectAnnounced } from '../connect.ts';
import { printJson } from '../output/json.ts';
import { askMutation } from '../output/mutation.ts';
import { fetchItem, type Variables } from '../output/query.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;
const quiet = { announces: false };

/** Asks for a change; `done` is told when it is made. @throws UserError when it is refused. */
async function change(
  { io, globals }: Where,
  client: Client,
  mutation: { root: string; variables: Variables },
  done: string,
): Promise<void> {
  const { ok, msg } = await askMutation(client, mutation, 'ok msg');
  if (ok !== true) throw new UserError(msg ?? 'The server refuses.');
  if (globals.output === 'json') printJson(io, { ok: true, msg: msg ?? '' });
  else printStatus(io.stderr, 'done', done);
}

const architecture = option(['--arch'], 'ARCH', 'Its architecture, such as x86_64.');

export const alias = defineCommand({
  positionals: {
    alias: argument('ALIAS', 'The short name.'),
    target: argument('TARGET', 'Name of the image.'),
  },
  options: { architecture },
  async run({ options, args, io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    const variables = {
      alias: ['String!', args.alias],
      target: ['String!', args.target],
      architecture: ['String', options.architecture],
    } as const;
    const done = `An alias has been created: ${args.alias} -> ${args.target}`;
    await change({ io, globals }, client, { root: 'alias_image', variables }, done);
    return 0;
  },
});

export const dealias = defineCommand({
  positionals: { alias: argument('ALIAS', 'The short name.') },
  async run({ args, io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    const variables = { alias: ['String!', args.alias] } as const;
    const done = `The alias has been removed: ${args.alias}`;
    await change({ io, globals }, client, { root: 'dealias_image', variables }, done);
    return 0;
  },
});

/** The id of an image that is given by id, or by name or alias. @throws ApiError when there is none. */
async function imageId(
  client: Client,
  reference: string,
  arch: string | undefined,
): Promise<string> {
  if (v.is(v.pipe(v.string(), v.uuid()), reference)) return reference;
  const variables = { reference: ['String', reference], architecture: ['String', arch] } as const;
  const image = await fetchItem(client, { root: 'image', fields: [{ key: 'id' }], variables });
  if (image === null) throw new UserError(`There is no image '${reference}'.`);
  return String(image.id);
}

const reference = argument('REFERENCE_OR_ID', 'Id, name or alias of the image.');

export const forget = defineCommand({
  help: 'Take an image out of the catalogue: one that you made, or any for superadmins.',
  positionals: { reference },
  options: { architecture },
  async run({ options, args, io, globals }) {
    const client = await connectAnnounced({ io, globals });
    const id = await imageId(client, args.reference, options.architecture);
    const variables = { image_id: ['String!', id] } as const;
    const done = `Image forgotten: ${args.reference}`;
    await change({ io, globals }, client, { root: 'forget_image_by_id', variables }, done);
    return 0;
  },
});

export const purge = defineCommand({
  help: 'Delete an image from the catalogue for good: one that you made, or any for superadmins.',
  positionals: { reference },
  options: {
    architecture,
    fromRegistry: flag(['--remove-from-registry'], 'Also remove it from its registry.'),
  },
  async run({ options, args, io, globals }) {
    const client = await connectAnnounced({ io, globals });
    const id = await imageId(client, args.reference, options.architecture);
    const variables = {
      image_id: ['String!', id],
      options: ['PurgeImageOptions', { remove_from_registry: options.fromRegistry }],
    } as const;
    const mutation = { root: 'purge_image_by_id', variables };
    // This one answers with the image, not with a word about success.
    await askMutation(client, mutation, 'image { id }');
    if (globals.output === 'json') printJson(io, { ok: true, id });
    else printStatus(io.stderr, 'done', `Image purged: ${args.reference}`);
    return 0;
  },
});

/** Tells how far a task is, until it has ended. @returns what it said last. */
async function watch({ io, globals }: Where, client: Client, taskId: string) {
  const waiting = new WaitingLine(io.stderr);
  const isShown = io.stderr.isTTY && globals.output !== 'json';
  try {
    for await (const event of client.task.follow(taskId)) {
      if (event.state !== 'updated') return event;
      const { current, total, message } = event;
      const place = total === null || total === 0 ? '' : ` (${current ?? 0}/${total})`;
      if (isShown) waiting.show(`Scanning the registry...${place} ${message}`);
    }
    throw new UserError('The scan has ended without saying how.');
  } finally {
    waiting.clear();
  }
}

export const rescan = defineCommand({
  help: 'Look for images in container registries and register them; it may take minutes.',
  options: {
    registry: option(['-r', '--registry'], 'NAME', 'Only this registry, or `local` for the host.'),
    project: option(['-p', '--project'], 'NAME', 'Only this project of it.'),
  },
  async run({ options, io, globals }) {
    const client = await connectAdmin({ io, globals }, quiet);
    const variables = {
      registry: ['String', options.registry],
      project: ['String', options.project],
    } as const;
    const mutation = { root: 'rescan_images', variables };
    const { ok, msg, task_id: taskId } = await askMutation(client, mutation, 'ok msg task_id');
    if (ok !== true || typeof taskId !== 'string') {
      throw new UserError(`Failed to scan registries: ${msg ?? 'the server refuses.'}`);
    }
    const isJson = globals.output === 'json';
    const say = (kind: 'done' | 'fail' | 'warn', text: string) => {
      if (!isJson) printStatus(io.stderr, kind, text);
    };
    say('done', 'Started updating the image metadata from the configured registries.');
    const { state, message, errors } = await watch({ io, globals }, client, taskId);
    for (const error of errors) say('fail', `Error reported: ${error}`);
    const isDone = state === 'done' && errors.length === 0;
    if (isJson) printJson(io, { ok: isDone, msg: message, task_id: taskId, state, errors });
    else if (state === 'failed') say('fail', `Error occurred: ${message}`);
    else if (state === 'cancelled') say('warn', 'Registry scanning has been cancelled.');
    else if (isDone) say('done', `Finished registry scanning. ${message}`.trim());
    else say('warn', `Finished registry scanning with ${errors.length} issues.`);
    return isDone ? 0 : 1;
  },
});
