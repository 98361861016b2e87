/** Options of upstream's install-dev.sh: those that mean the same here, and why the others are not taken. */
import { flag, option, UsageError } from '../../common/command.ts';
import type { Accelerator } from '../request.ts';

const hiddenFlag = (name: string) => ({ ...flag([name], "Upstream's."), hidden: true });
const hiddenOption = (name: string) => ({
  ...option([name], 'VALUE', "Upstream's."),
  hidden: true,
});

export const upstreamOptions = {
  enableCuda: hiddenFlag('--enable-cuda'),
  enableCudaMock: hiddenFlag('--enable-cuda-mock'),
  enableCudaMigMock: hiddenFlag('--enable-cuda-mig-mock'),
  enableRocmMock: hiddenFlag('--enable-rocm-mock'),
  enableStorage: hiddenFlag('--enable-storage'),
  configureHa: hiddenFlag('--configure-ha'),
  editableWebui: hiddenFlag('--editable-webui'),
  codespacesOnCreate: hiddenFlag('--codespaces-on-create'),
  codespacesPostCreate: hiddenFlag('--codespaces-post-create'),
  pythonVersion: hiddenOption('--python-version'),
  agentWatcherPort: hiddenOption('--agent-watcher-port'),
  ipcBasePath: hiddenOption('--ipc-base-path'),
  varBasePath: hiddenOption('--var-base-path'),
};

/** What was given of them. */
export type GivenUpstream = {
  readonly [Name in keyof typeof upstreamOptions]: boolean | string | undefined;
};

const FOLDERS =
  'sockets and state lie in the folder of the installation: --target-path chooses that one.';
const CODESPACES = 'an installation needs no container to be prepared: run it once, as it is.';

/** Why each of them has no place here. */
const REASONS: readonly (readonly [keyof GivenUpstream, string, string])[] = [
  [
    'enableStorage',
    '--enable-storage',
    'it would start MinIO, which nothing here uses: there are no artifact registries. Buckets that exist are named in storage-proxy.toml, [artifact-storages].',
  ],
  [
    'configureHa',
    '--configure-ha',
    'start the servers with "docker compose -f halfstack/ha.yaml up --detach --wait" and name them: --postgres-addr, --redis-sentinel, --etcd-addr (halfstack/README.md).',
  ],
  ['editableWebui', '--editable-webui', 'scripts/download-webui-release.sh fetches a WebUI.'],
  ['codespacesOnCreate', '--codespaces-on-create', CODESPACES],
  ['codespacesPostCreate', '--codespaces-post-create', CODESPACES],
  ['pythonVersion', '--python-version', 'no Python is needed.'],
  ['agentWatcherPort', '--agent-watcher-port', 'there is no watcher of agents.'],
  ['ipcBasePath', '--ipc-base-path', FOLDERS],
  ['varBasePath', '--var-base-path', FOLDERS],
];

/** @throws UsageError when one is given that has no place here. */
export function refuseForeign(given: GivenUpstream): void {
  for (const [name, option, reason] of REASONS) {
    const isGiven = given[name] !== undefined && given[name] !== false;
    if (isGiven) throw new UsageError(`${option} is not taken: ${reason}`);
  }
}

/**
 * The accelerator that was asked for in whichever words; undefined when in none.
 * @throws UsageError when there is more than one.
 */
export function acceleratorOf(
  given: GivenUpstream & { readonly accelerator: Accelerator | undefined },
): Accelerator | undefined {
  const asked = new Set<Accelerator>();
  if (given.accelerator !== undefined) asked.add(given.accelerator);
  if (given.enableCuda) asked.add('cuda');
  if (given.enableCudaMock) asked.add('cuda_mock');
  if (given.enableCudaMigMock) asked.add('cuda_mig_mock');
  if (given.enableRocmMock) asked.add('rocm_mock');
  const [first, ...more] = asked;
  if (more.length === 0) return first;
  throw new UsageError(`An agent offers one kind of accelerator: not ${[...asked].join(' and ')}.`);
}
