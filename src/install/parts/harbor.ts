/**
 * A Harbor beside a development installation: a registry for images, over HTTP, run by Harbor's own scripts
 * with Docker. The cluster knows it, and may take images from it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import { type Layout, loadOrCreateSecrets, rememberSecret, writeOwnFile } from '../layout.ts';
import type { HarborWish, InstallRequest } from '../request.ts';
import { runCommand } from '../shell.ts';
import type { Check, ReportPage, Step, StepContext } from '../step.ts';
import { portCheck } from './checks.ts';
import { findCompose } from './compose.ts';
import { runInstalled } from './data.ts';
import { projectName } from './halfstack.ts';
import { harborYaml } from './harbor-config.ts';
import { archiveCheck, harborFileSteps, harborFolder } from './harbor-files.ts';

/** The project that every Harbor begins with. */
const PROJECT = 'library';
const INSTALL_TIMEOUT_MS = 30 * 60_000;
const HEALTH_TIMEOUT_MS = 5_000;
const READY_TIMEOUT_MS = 5 * 60_000;
const POLL_MS = 500;
const DOWN_TIMEOUT_MS = 3 * 60_000;
const CHECK_TIMEOUT_MS = 15_000;

const dataFolder = (layout: Layout): string => join(layout.state, 'harbor/data');
const logFolder = (layout: Layout): string => join(layout.state, 'harbor/logs');
const configPath = (layout: Layout): string => join(harborFolder(layout), 'harbor.yml');
/** The configuration with which its scripts were through. */
const preparedPath = (layout: Layout): string => join(harborFolder(layout), '.prepared-with');
const composePath = (layout: Layout): string => join(harborFolder(layout), 'docker-compose.yml');

/** Whether there is one whose containers Docker may have. */
export const hasHarbor = (layout: Layout): boolean => existsSync(composePath(layout));
/** Whether there is anything of one. */
export const hasHarborFiles = (layout: Layout): boolean => existsSync(harborFolder(layout));

/** Harbor's containers have the same names everywhere; this only tells whose they are. */
export const harborProject = (envId: string): string => `${projectName(envId)}-harbor`;

/** An address of this machine that is not only its own; null without a network. */
export function outwardAddress(): string | null {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;
}

const registryName = ({ hostname, httpPort }: HarborWish): string => `${hostname}:${httpPort}`;

const health = v.object({ status: v.string() });

/** @returns null when it is well, else what it says instead. */
export async function harborIllness(port: number): Promise<string | null> {
  try {
    const reply = await fetch(`http://127.0.0.1:${port}/api/v2.0/health`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      keepalive: false,
    });
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), health), await reply.text());
    if (parsed.success && parsed.output.status === 'healthy') return null;
    return parsed.success ? `it is ${parsed.output.status}` : `it answers ${reply.status}`;
  } catch {
    return 'it does not answer';
  }
}

function dockerClientCheck(): Check {
  return {
    title: 'Docker, for Harbor',
    async run() {
      const missing = ['docker', 'bash', 'tar'].filter((name) => Bun.which(name) === null);
      if (missing.length === 0) return null;
      return {
        problem: `Harbor's scripts need ${missing.join(', ')}.`,
        remedy: 'Install what is missing, or leave --with-harbor out.',
      };
    },
  };
}

/** Its containers have fixed names: there is one Harbor for each Docker. */
function onlyOneCheck(layout: Layout, signal: AbortSignal): Check {
  return {
    title: 'No other Harbor',
    async run() {
      const context: StepContext = { log: () => undefined, progress: () => undefined, signal };
      const folder = 'com.docker.compose.project.working_dir';
      const listed = await runCommand(
        [
          ...['docker', 'ps', '--all', '--filter', 'name=^/harbor-core$'],
          ...['--format', `{{.Label "${folder}"}}`],
        ],
        context,
        { timeoutMs: CHECK_TIMEOUT_MS },
      ).catch((error: unknown) => {
        // What is wrong with Docker is told by its own check.
        if (error instanceof UserError) return '';
        throw error;
      });
      const other = listed.trim();
      if (other === '' || other === harborFolder(layout)) return null;
      return {
        problem: `A Harbor of ${other} is there, and Docker can have only one.`,
        remedy: 'Remove that one, or use it: leave --with-harbor out and register it.',
      };
    },
  };
}

/** Harbor's scripts take paths apart at spaces. */
function pathCheck(layout: Layout): Check {
  return {
    title: 'Path for Harbor',
    async run() {
      if (!/\s/.test(layout.root)) return null;
      return {
        problem: `Harbor's scripts cannot work in '${layout.root}', which has a space.`,
        remedy: 'Choose another folder with --target-path.',
      };
    },
  };
}

export function harborChecks(wish: HarborWish, layout: Layout, signal: AbortSignal): Check[] {
  return [
    dockerClientCheck(),
    pathCheck(layout),
    archiveCheck(wish, layout),
    onlyOneCheck(layout, signal),
    portCheck(wish.httpPort, 'Harbor', '--harbor-http-port', () => hasHarbor(layout)),
  ];
}

/** What compose and Harbor's scripts need in their environment. */
async function scriptEnvironment(envId: string, signal: AbortSignal) {
  const { env } = await findCompose(signal);
  // Its scripts ask the terminal for colours.
  return { ...env, COMPOSE_PROJECT_NAME: harborProject(envId), TERM: 'dumb' };
}

/** @throws UserError when another password is given than it began with: Harbor keeps that one. */
function adminPassword(wish: HarborWish, layout: Layout, random: Random): string {
  const kept = loadOrCreateSecrets(layout, random).harborAdmin;
  if (wish.adminPassword === null || wish.adminPassword === kept) return kept;
  if (!existsSync(preparedPath(layout))) {
    return rememberSecret(layout, random, 'harborAdmin', wish.adminPassword);
  }
  throw new UserError('Harbor has the password of its first start.', {
    hint: "Leave --harbor-admin-password out. Afterwards it is changed on Harbor's page.",
  });
}

function writeConfig(wish: HarborWish, layout: Layout, random: Random): string {
  const template = readFileSync(join(harborFolder(layout), 'harbor.yml.tmpl'), 'utf8');
  const text = harborYaml(template, {
    ...{ hostname: wish.hostname, httpPort: wish.httpPort },
    adminPassword: adminPassword(wish, layout, random),
    databasePassword: loadOrCreateSecrets(layout, random).harborDatabase,
    ...{ dataFolder: dataFolder(layout), logFolder: logFolder(layout) },
  });
  writeOwnFile(configPath(layout), text);
  return text;
}

/** @throws UserError when it is not well in time. */
export async function waitUntilWell(
  port: number,
  clock: Clock,
  context: StepContext,
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + READY_TIMEOUT_MS;
  for (;;) {
    const ill = await harborIllness(port);
    if (ill === null) return;
    context.signal.throwIfAborted();
    context.progress(`waiting: ${ill}`);
    if (clock.monotonicMs() > deadlineMs) {
      throw new UserError(`Harbor is not ready after ${READY_TIMEOUT_MS / 1000} s: ${ill}.`, {
        hint: 'Why is in its logs: backend.ai dev harbor logs.',
      });
    }
    await clock.sleep(POLL_MS);
  }
}

function startStep(
  request: InstallRequest,
  wish: HarborWish,
  layout: Layout,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Step {
  return {
    id: 'harbor',
    title: `Start Harbor at http://${registryName(wish)}`,
    async isDone() {
      if (!existsSync(preparedPath(layout))) return false;
      const text = writeConfig(wish, layout, random);
      return (
        readFileSync(preparedPath(layout), 'utf8') === text &&
        (await harborIllness(wish.httpPort)) === null
      );
    },
    async run(context) {
      const text = writeConfig(wish, layout, random);
      for (const folder of [dataFolder(layout), logFolder(layout)]) {
        await mkdir(folder, { recursive: true });
      }
      const env = await scriptEnvironment(request.envId, context.signal);
      context.progress("Harbor's installer loads its images, which takes minutes");
      await runCommand(['bash', 'install.sh'], context, {
        ...{ cwd: harborFolder(layout), env, timeoutMs: INSTALL_TIMEOUT_MS },
      });
      await waitUntilWell(wish.httpPort, clock, context);
      writeOwnFile(preparedPath(layout), text);
    },
  };
}

/** Its name is of the address, so that there is one row however often this runs. */
function registerStep(wish: HarborWish, layout: Layout, random: Random): Step {
  const url = `http://${registryName(wish)}`;
  return {
    id: 'harbor-registry',
    title: `Register ${registryName(wish)} for images`,
    async run(context) {
      const file = join(layout.config, '.harbor-registry.json');
      const row = {
        id: Bun.randomUUIDv5(`${url}/${PROJECT}`, 'url'),
        registry_name: registryName(wish),
        url,
        type: 'harbor2',
        project: PROJECT,
        username: 'admin',
        password: loadOrCreateSecrets(layout, random).harborAdmin,
        ssl_verify: false,
      };
      writeOwnFile(file, JSON.stringify({ container_registries: [row] }));
      const config = ['-f', join(layout.config, 'manager.toml')];
      try {
        await runInstalled(layout, ['mgr', 'fixture', 'populate', file, ...config], context);
      } finally {
        // It holds the password.
        await rm(file, { force: true });
      }
    },
  };
}

const domainAnswer = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ items: v.tuple([v.object({ allowed_docker_registries: v.array(v.string()) })]) }),
);

/** @param environment what makes a client that of an administrator. */
export function harborAllowStep(
  wish: HarborWish,
  layout: Layout,
  environment: () => Record<string, string>,
): Step {
  const name = registryName(wish);
  return {
    id: 'harbor-allow',
    title: `Let the domain default use images of ${name}`,
    async run(context) {
      const admin = (...args: string[]) =>
        runInstalled(layout, [...args], context, { env: environment(), quiet: true });
      const shown = await admin('--output', 'json', 'admin', 'domain', 'info', 'default');
      const [{ allowed_docker_registries: allowed }] = v.parse(domainAnswer, shown).items;
      if (allowed.includes(name)) return;
      const all = [...allowed, name].join(',');
      await admin('admin', 'domain', 'update', 'default', '--allowed-docker-registries', all);
    },
  };
}

/** Once the tables are there. */
export const harborSteps = (
  request: InstallRequest,
  wish: HarborWish,
  layout: Layout,
  parts: { readonly clock: Clock; readonly random: Random },
): Step[] => [
  ...harborFileSteps(wish, layout, parts.clock),
  ...(request.start ? [startStep(request, wish, layout, parts)] : []),
  registerStep(wish, layout, parts.random),
];

/** A call of compose for Harbor's containers. @throws UserError when no compose works here. */
export async function harborCompose(
  layout: Layout,
  envId: string,
  args: readonly string[],
  signal: AbortSignal,
) {
  const { command } = await findCompose(signal);
  return {
    command: [...command, '--file', composePath(layout), ...args],
    options: { cwd: harborFolder(layout), env: await scriptEnvironment(envId, signal) },
  };
}

/** @param purge its images in Docker and its data go as well. */
export function removeHarborStep(layout: Layout, envId: string, purge: boolean): Step {
  return {
    id: 'harbor',
    title: purge ? 'Remove Harbor with its data' : 'Stop Harbor',
    async run(context) {
      if (hasHarbor(layout)) {
        const down = ['down', ...(purge ? ['--volumes'] : [])];
        const { command, options } = await harborCompose(layout, envId, down, context.signal);
        await runCommand(command, context, { ...options, timeoutMs: DOWN_TIMEOUT_MS });
      }
      if (!purge) return;
      await removeImages(layout, context);
      await removeFolder(join(layout.state, 'harbor'));
      await removeFolder(harborFolder(layout));
    },
  };
}

/** Its installer loads them all with one version, which its script names. */
async function removeImages(layout: Layout, context: StepContext): Promise<void> {
  const script = join(harborFolder(layout), 'prepare');
  const text = existsSync(script) ? readFileSync(script, 'utf8') : '';
  const version = /\bgoharbor\/prepare:([\w.-]+)/.exec(text)?.[1];
  if (version === undefined) return;
  const list = ['docker', 'images', '--quiet', '--filter', `reference=goharbor/*:${version}`];
  const options = { timeoutMs: DOWN_TIMEOUT_MS };
  const found = (await runCommand(list, context, { ...options, quiet: true })).split('\n');
  const ids = [...new Set(found.filter((id) => id !== ''))];
  if (ids.length === 0) return;
  // By force: an image may have several names.
  await runCommand(['docker', 'image', 'rm', '--force', ...ids], context, options);
}

/** Containers write as users of their own, so that only root can remove what they left. */
async function removeFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch (error) {
    throw new UserError(`${folder} holds files of Harbor's containers.`, {
      hint: `Remove it, then run the same command again: sudo rm -rf ${folder}`,
      cause: error,
    });
  }
}

/** What the report says of it. */
export function harborPage(wish: HarborWish, layout: Layout, random: Random): ReportPage {
  const name = registryName(wish);
  return {
    title: 'Harbor',
    lines: [
      `Page       http://${name}`,
      `User       admin, ${loadOrCreateSecrets(layout, random).harborAdmin}`,
      `Folder     ${harborFolder(layout)}, data in ${join(layout.state, 'harbor')}`,
      '',
      `${layout.executable} dev harbor status --target-path ${layout.root}`,
      '(also start, stop, restart, logs)',
      '',
      'It speaks HTTP. Docker takes images from it once /etc/docker/daemon.json says:',
      `  { "insecure-registries": ["${name}"] }`,
      'Then:',
      `  docker push ${name}/${PROJECT}/IMAGE:TAG`,
      `  ${layout.executable} mgr image rescan ${name} -f ${join(layout.config, 'manager.toml')}`,
    ],
  };
}
