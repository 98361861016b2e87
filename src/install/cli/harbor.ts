/** `dev harbor`: the Harbor of a development installation: look, start, stop, read. */
import { systemClock } from '../../common/clock.ts';
import { type CommandContext, defineCommand } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { endRequested } from '../../common/server-process.ts';
import { harborCompose, harborIllness, hasHarbor, waitUntilWell } from '../parts/harbor.ts';
import { installationOptions, openedFolder } from './dev.ts';

type Context = Pick<CommandContext<typeof installationOptions>, 'options' | 'io'>;

/** @throws UserError when there is none. */
function opened({ options, io }: Context) {
  const { layout, info } = openedFolder(options, io);
  if (info.harbor === undefined || !hasHarbor(layout)) {
    throw new UserError(`There is no Harbor in ${layout.root}.`, {
      hint: 'Install it: backend.ai install --mode develop --with-harbor with the options of before.',
    });
  }
  return { layout, info, port: info.harbor.http_port };
}

/** Calls compose; it writes where this command does. @returns its exit code. */
async function compose(context: Context, args: readonly string[]): Promise<number> {
  const { layout, info } = opened(context);
  const signal = endRequested();
  const { command, options } = await harborCompose(layout, info.env_id, args, signal);
  const child = Bun.spawn(command, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
  });
  const end = () => child.kill('SIGTERM');
  signal.addEventListener('abort', end, { once: true });
  const code = await child.exited;
  signal.removeEventListener('abort', end);
  return signal.aborted ? 130 : code;
}

async function startIt(context: Context): Promise<number> {
  const { port } = opened(context);
  const code = await compose(context, ['up', '--detach']);
  if (code !== 0) return code;
  const { stderr } = context.io;
  await waitUntilWell(port, systemClock, {
    log: (line) => stderr.write(`${line}\n`),
    progress: () => undefined,
    signal: endRequested(),
  });
  stderr.write(`✓ Harbor is ready on port ${port}.\n`);
  return 0;
}

export const start = defineCommand({ options: installationOptions, run: startIt });

export const stop = defineCommand({
  options: installationOptions,
  run: (context) => compose(context, ['down']),
});

export const restart = defineCommand({
  options: installationOptions,
  async run(context) {
    const code = await compose(context, ['down']);
    return code === 0 ? startIt(context) : code;
  },
});

export const status = defineCommand({
  help: 'Show the containers of Harbor, and whether it is well; if not, the exit code is 1.',
  options: installationOptions,
  async run(context) {
    const { port } = opened(context);
    const code = await compose(context, ['ps', '--all']);
    if (code !== 0) return code;
    const ill = await harborIllness(port);
    context.io.stdout.write(`Harbor on port ${port}: ${ill ?? 'healthy'}\n`);
    return ill === null ? 0 : 1;
  },
});

export const logs = defineCommand({
  help: 'Show the end of what the containers of Harbor write, and what comes.',
  options: installationOptions,
  run: (context) => compose(context, ['logs', '--follow', '--tail', '200']),
});
