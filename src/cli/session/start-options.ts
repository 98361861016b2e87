/** The options that every command which creates a session has in common. */
import type { ClientConfig, SessionSpec } from '../../client/index.ts';
import {
  choice,
  flag,
  integer,
  keyValue,
  type OptionSpecs,
  option,
  optionWithDefault,
  repeated,
  UsageError,
} from '../../common/command.ts';
import { type Random, randomString } from '../../common/random.ts';
import { mountExpression } from './mounts.ts';

const SESSION_NAME = /^\S(?:.{2,62})\S$/;

/** @throws UsageError. The server knows more rules than the length. */
export function sessionName(text: string): string {
  if (!SESSION_NAME.test(text)) {
    throw new UsageError(`'${text}' is not a session name: use 4 to 64 characters.`);
  }
  return text;
}

function commaList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function portList(text: string): number[] {
  return commaList(text).map(integer({ min: 1, max: 65535 }));
}

export const startOptions = {
  name: option(
    ['-t', '--name', '--client-token'],
    'NAME',
    'Name of the session, 4 to 64 characters; a live session of that name is reused.',
    sessionName,
  ),
  type: optionWithDefault(
    ['--type'],
    '[interactive|batch|inference|system]',
    'Kind of session.',
    'interactive',
    choice(['interactive', 'batch', 'inference', 'system']),
  ),
  priority: option(
    ['--priority'],
    'INT',
    'Scheduling priority, 0 to 100; larger is earlier.',
    integer({ min: 0, max: 100 }),
  ),
  startsAt: option(['--starts-at'], 'TIME', 'When to start it: ISO time or a duration like 1h.'),
  enqueueOnly: flag(['--enqueue-only'], 'Do not wait until the session runs.'),
  maxWait: optionWithDefault(
    ['--max-wait'],
    'SEC',
    'Longest wait until it runs; 0 means no limit.',
    0,
    integer({ min: 0 }),
  ),
  noReuse: flag(['--no-reuse'], 'Fail when a session of that name exists.'),
  callbackUrl: option(['--callback-url'], 'URL', 'URL that is called at each change of status.'),
  env: repeated(['-e', '--env'], 'K=V', 'Environment variable.', keyValue),
  tag: option(['--tag'], 'TAG', 'Free-form label.'),
  mounts: repeated(
    ['-v', '--volume', '-m', '--mount'],
    'EXPR',
    'Folder to mount: NAME, NAME:PATH, or source=NAME,target=PATH,perm=ro.',
    mountExpression,
  ),
  scalingGroup: option(['--scaling-group', '--sgroup'], 'NAME', 'Resource group to run in.'),
  resources: repeated(
    ['-r', '--resources'],
    'K=V',
    'Resource slot, e.g. cpu=2 or mem=4g; a bare number for mem is in MiB.',
    keyValue,
  ),
  clusterSize: optionWithDefault(
    ['--cluster-size'],
    'INT',
    'Number of containers.',
    1,
    integer({ min: 1 }),
  ),
  clusterMode: optionWithDefault(
    ['--cluster-mode'],
    '[single-node|multi-node]',
    'How the containers are placed.',
    'single-node',
    choice(['single-node', 'multi-node']),
  ),
  resourceOpts: repeated(['--resource-opts'], 'K=V', 'Resource option, e.g. shmem=64m.', keyValue),
  domain: option(['-d', '--domain'], 'NAME', 'Domain; BACKEND_DOMAIN when absent.'),
  group: option(['-g', '--group'], 'NAME', 'Project; BACKEND_GROUP when absent.'),
  bootstrapScript: option(
    ['--bootstrap-script'],
    'PATH',
    'Script that runs when the session starts.',
  ),
  architecture: option(['--arch', '--architecture'], 'NAME', 'Architecture of the image.'),
  preopen: option(['--preopen'], 'A,B', 'Ports to open in the session.', portList),
  assignAgent: option(['--assign-agent'], 'A,B', 'Agents to run on.', commaList),
} satisfies OptionSpecs;

type ValueOf<S> = S extends { read(texts: readonly string[]): infer T } ? T : never;
export type StartValues = {
  readonly [K in keyof typeof startOptions]: ValueOf<(typeof startOptions)[K]>;
};

/** `mem=256` → `mem=256m`: a bare number for memory means MiB. */
export function resourceMap(pairs: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map(([key, value]) => [key, key === 'mem' && /\d$/.test(value) ? `${value}m` : value]),
  );
}

/** A name for a session that the user did not name. */
export const generatedName = (random: Random): string =>
  `pysdk-${randomString(random, 10, 'abcdefghijklmnopqrstuvwxyz0123456789')}`;

/** @throws Error of the file system when the bootstrap script cannot be read. */
export async function sessionSpec(
  image: string,
  name: string,
  values: StartValues,
  config: ClientConfig,
): Promise<SessionSpec> {
  const script = values.bootstrapScript;
  return {
    image,
    name,
    type: values.type,
    priority: values.priority,
    startsAt: values.startsAt,
    enqueueOnly: values.enqueueOnly,
    maxWaitSeconds: values.maxWait,
    reuseIfExists: !values.noReuse,
    callbackUrl: values.callbackUrl,
    environ: Object.fromEntries(values.env),
    mounts: values.mounts,
    tag: values.tag,
    scalingGroup: values.scalingGroup,
    resources: resourceMap(values.resources),
    resourceOpts: resourceMap(values.resourceOpts),
    clusterSize: values.clusterSize,
    clusterMode: values.clusterMode,
    domain: values.domain ?? config.domain,
    group: values.group ?? config.group,
    bootstrapScript: script === undefined ? undefined : await Bun.file(script).text(),
    architecture: values.architecture,
    preopenPorts: values.preopen,
    assignAgents: values.assignAgent,
  };
}
