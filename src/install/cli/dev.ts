/** `dev`: the components of an installation as background processes: look, start, stop, read. */
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import {
  type CommandContext,
  type CommandIo,
  defineCommand,
  flag,
  option,
  optionWithDefault,
  restArguments,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { endRequested } from '../../common/server-process.ts';
import { readableLine } from '../../logging/format.ts';
import { type InstallInfo, type Layout, layoutOf, readInfo } from '../layout.ts';
import {
  outputPath,
  type ServiceSpec,
  servicesOf,
  startService,
  stateOf,
  stopService,
  titleWidth,
} from '../parts/services.ts';
import { defaultMode, defaultTarget } from '../request.ts';

export const installationOptions = {
  targetPath: option(['--target-path'], 'DIR', 'Folder of the installation.'),
  envId: optionWithDefault(['--env-id'], 'ID', 'Which one, of a checkout.', 'default', String),
};
const services = restArguments(
  'SERVICE',
  'mgr, agent, storage, web, sftp-agent or, with an app proxy, proxy, proxy-http, proxy-tcp and proxy-h2; all of them when none is named.',
);

interface Opened {
  readonly layout: Layout;
  readonly info: InstallInfo;
  readonly specs: readonly ServiceSpec[];
}

type GivenPlace = { readonly targetPath: string | undefined; readonly envId: string };

/** @throws UserError when there is no installation. */
export function openedFolder(given: GivenPlace, io: CommandIo): Omit<Opened, 'specs'> {
  const target = given.targetPath
    ? resolve(io.cwd, given.targetPath)
    : defaultTarget(defaultMode(), given.envId, io.env);
  const layout = layoutOf(target);
  return { layout, info: readInfo(layout) };
}

function openInstallation(given: GivenPlace, names: readonly string[], io: CommandIo): Opened {
  const { layout, info } = openedFolder(given, io);
  const all = servicesOf(info);
  const known = all.map(({ name }) => name);
  const wrong = names.filter((name) => name !== 'all' && !known.includes(name));
  if (wrong.length > 0) {
    throw new UsageError(`No such service: ${wrong.join(', ')}. There are ${known.join(', ')}.`);
  }
  const isAll = names.length === 0 || names.includes('all');
  return { layout, info, specs: all.filter(({ name }) => isAll || names.includes(name)) };
}

async function startAll(opened: Opened, io: CommandIo, signal: AbortSignal): Promise<void> {
  for (const spec of opened.specs) {
    io.stderr.write(`⋯ Starting the ${spec.title.toLowerCase()}\n`);
    await startService(opened.layout, spec, [opened.layout.executable], {
      clock: systemClock,
      signal,
    });
    io.stderr.write(`✓ The ${spec.title.toLowerCase()} runs on port ${spec.port}.\n`);
  }
}

async function stopAll(opened: Opened, io: CommandIo): Promise<void> {
  for (const spec of opened.specs.toReversed()) {
    io.stderr.write(`⋯ Stopping the ${spec.title.toLowerCase()}\n`);
    const ran = await stopService(opened.layout, spec, { clock: systemClock });
    io.stderr.write(`✓ The ${spec.title.toLowerCase()} ${ran ? 'has stopped' : 'did not run'}.\n`);
  }
}

type Context = Pick<
  CommandContext<typeof installationOptions, { services: typeof services }>,
  'options' | 'args' | 'io'
>;
const opened = ({ options: given, args, io }: Context) =>
  openInstallation(given, args.services, io);

export const start = defineCommand({
  options: installationOptions,
  positionals: { services },
  async run(context) {
    await startAll(opened(context), context.io, endRequested());
    return 0;
  },
});

export const stop = defineCommand({
  options: installationOptions,
  positionals: { services },
  async run(context) {
    await stopAll(opened(context), context.io);
    return 0;
  },
});

export const restart = defineCommand({
  options: installationOptions,
  positionals: { services },
  async run(context) {
    const found = opened(context);
    await stopAll(found, context.io);
    await startAll(found, context.io, endRequested());
    return 0;
  },
});

export const status = defineCommand({
  options: installationOptions,
  positionals: { services },
  async run(context) {
    const { layout, specs, info } = opened(context);
    const states = await Promise.all(specs.map((spec) => stateOf(layout, spec)));
    const { io, globals } = context;
    if (globals.output === 'json') {
      const items = states.map(({ spec, pid, isReady }) => ({
        name: spec.name,
        pid,
        ready: isReady,
        port: spec.port,
      }));
      io.stdout.write(
        `${JSON.stringify({ folder: layout.root, version: info.version, services: items }, null, 2)}\n`,
      );
    } else {
      for (const { spec, pid, isReady } of states) {
        const word = pid === null ? 'stopped' : isReady ? 'ready' : 'not ready';
        const detail = pid === null ? '' : `  port ${spec.port}, process ${pid}`;
        io.stdout.write(`${spec.title.padEnd(titleWidth(specs))}  ${word.padEnd(9)}${detail}\n`);
      }
    }
    return states.every(({ isReady }) => isReady) ? 0 : 1;
  },
});

const POLL_MS = 200;
const DEFAULT_LINES = 100;
const TAIL_BYTES = 256 * 1024;

/** Passes on the lines that a growing file gains, until the signal ends it. */
async function follow(
  path: string,
  from: number,
  print: (lines: readonly string[]) => void,
  signal: AbortSignal,
) {
  let at = from;
  let begun = '';
  const decoder = new TextDecoder();
  while (!signal.aborted) {
    const size = Bun.file(path).size;
    if (size < at) at = 0;
    if (size > at) {
      const gained = await Bun.file(path).slice(at, size).bytes();
      const lines = `${begun}${decoder.decode(gained, { stream: true })}`.split('\n');
      begun = lines.pop() ?? '';
      print(lines);
      at = size;
    }
    await systemClock.sleep(POLL_MS);
  }
}

export const log = defineCommand({
  help: 'Show the end of what a component wrote to its log.',
  options: { ...installationOptions, follow: flag(['-f', '--follow'], 'Go on with what comes.') },
  positionals: { services },
  async run(context) {
    const { layout, specs } = opened(context);
    const [spec] = specs;
    if (spec === undefined || specs.length !== 1) throw new UsageError('Name one service.');
    const component = spec.configFile.replace(/\.\w+$/, '');
    const path = [join(layout.logs, `${component}.log`), outputPath(layout, spec)].find(existsSync);
    if (path === undefined) {
      throw new UserError(`The ${spec.title.toLowerCase()} has not written a log yet.`);
    }
    await using file = await open(path);
    const { size } = await file.stat();
    const text = await Bun.file(path)
      .slice(Math.max(0, size - TAIL_BYTES), size)
      .text();
    const { stdout } = context.io;
    const print = (lines: readonly string[]) => {
      // Where a collector reads them, they are JSON.
      for (const line of lines) stdout.write(`${readableLine(line, stdout.isTTY)}\n`);
    };
    print(text.trimEnd().split('\n').slice(-DEFAULT_LINES));
    if (context.options.follow) await follow(path, size, print, endRequested());
    return 0;
  },
});
