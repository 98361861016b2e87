/** `session commit` and `session convert-to-image`: what is in a session, kept. */
import type { Client } from '../../../client/index.ts';
import { argument, type CommandContext, defineCommand } from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connect } from '../../connect.ts';
import { printJson } from '../../output/json.ts';

const session = argument('SESSION_ID_OR_NAME', 'The session.');

/** Tells how far a task is until it has ended. @returns what it said last. @throws UserError. */
async function follow(
  { io, globals }: Pick<CommandContext, 'io' | 'globals'>,
  client: Client,
  taskId: string,
): Promise<string> {
  const line = new WaitingLine(io.stderr);
  const isShown = globals.output !== 'json';
  try {
    for await (const { state, message, current, total } of client.task.follow(taskId)) {
      if (state === 'done') return message;
      if (state !== 'updated') throw new UserError(`Error during the operation: ${message}`);
      if (isShown) line.show(total ? `${message} (${current ?? 0}/${total})` : message);
    }
    throw new UserError('The task has ended without saying how.');
  } finally {
    line.clear();
  }
}

export const commit = defineCommand({
  help: "Write what is in a session into an archive on its agent; it doesn't wait for the end.",
  positionals: { session },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const { taskId, path } = await client.session.commit(args.session);
    if (globals.output === 'json') printJson(io, { ok: true, task_id: taskId, path });
    else {
      printStatus(io.stderr, 'info', `Request to commit Session(name or id: ${args.session})`);
      printStatus(io.stderr, 'info', `The archive will be ${path}.`);
    }
    return 0;
  },
});

export const convert = defineCommand({
  help: 'Make an image of a session, which only you can use.',
  positionals: {
    session: argument('SESSION_ID', 'Id or name.'),
    image: argument('IMAGE_NAME', 'Name of the image; one of yours of that name is replaced.'),
  },
  async run({ args, io, globals }) {
    const client = await connect({ io, globals });
    const taskId = await client.session.convertToImage(args.session, args.image);
    const isJson = globals.output === 'json';
    if (!isJson) {
      printStatus(io.stderr, 'info', `Request to commit Session(name or id: ${args.session})`);
    }
    const message = await follow({ io, globals }, client, taskId);
    if (isJson) printJson(io, { ok: true, task_id: taskId, msg: message });
    else printStatus(io.stderr, 'done', `Session export process completed. ${message}`);
    return 0;
  },
});
