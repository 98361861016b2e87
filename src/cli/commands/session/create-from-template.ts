/** `session create-from-template`: a session as a template describes it. */
import type { SessionMount, TemplateOverrides } from '../../../client/index.ts';
import {
  argument,
  choice,
  defineCommand,
  flag,
  integer,
  option,
  repeated,
} from '../../../common/command.ts';
import { systemRandom } from '../../../common/random.ts';
import { whileWaiting } from '../../session/create.ts';
import { createAndTell } from '../../session/created.ts';
import { generatedName, resourceMap, startOptions } from '../../session/start-options.ts';

type Pairs = readonly (readonly [string, string])[];

/** What was said; nothing when there was nothing to say; empty when there shall be none. */
function said<T>(pairs: Pairs, none: boolean, read: (pairs: Pairs) => T): T | undefined {
  return pairs.length > 0 || none ? read(pairs) : undefined;
}

const mountsOf = (mounts: readonly SessionMount[], none: boolean) =>
  mounts.length > 0 || none ? mounts : undefined;

const { preopen: _ports, assignAgent: _agents, ...shared } = startOptions;

export default defineCommand({
  positionals: { template: argument('TEMPLATE_ID', 'Id of the template.') },
  options: {
    ...shared,
    type: option(
      ['--type'],
      '[interactive|batch|inference|system]',
      "Kind of session; the template's when absent.",
      choice(['interactive', 'batch', 'inference', 'system']),
    ),
    clusterSize: option(['--cluster-size'], 'INT', 'Number of containers.', integer({ min: 1 })),
    clusterMode: option(
      ['--cluster-mode'],
      '[single-node|multi-node]',
      'How the containers are placed.',
      choice(['single-node', 'multi-node']),
    ),
    image: option(['-i', '--image'], 'IMAGE', "Another image than the template's."),
    startupCommand: option(['-c', '--startup-command'], 'CMD', 'Command of a batch session.'),
    batchTimeout: option(
      ['--timeout', '--batch-timeout'],
      'TIME',
      'Longest time a batch session runs, e.g. 30s, 5m, 1h.',
    ),
    dependencies: repeated(['--depends'], 'UUID', 'Session that must succeed first.'),
    noMount: flag(['--no-mount'], "Mount none of the template's folders."),
    noEnv: flag(['--no-env'], "Set none of the template's variables."),
    noResource: flag(['--no-resource'], "Leave out the template's resources."),
    owner: option(
      ['-o', '--owner', '--owner-access-key'],
      'AK',
      'Create it for another keypair (administrators).',
    ),
  },
  async run({ options, args, io, globals }) {
    const name = options.name ?? generatedName(systemRandom);
    const script = options.bootstrapScript;
    const overrides: TemplateOverrides & { readonly name: string } = {
      name,
      image: options.image,
      type: options.type,
      architecture: options.architecture,
      clusterSize: options.clusterSize,
      clusterMode: options.clusterMode,
      domain: options.domain,
      group: options.group,
      tag: options.tag,
      priority: options.priority,
      startsAt: options.startsAt,
      batchTimeout: options.batchTimeout,
      startupCommand: options.startupCommand,
      bootstrapScript: script === undefined ? undefined : await Bun.file(script).text(),
      dependencies: options.dependencies.length > 0 ? options.dependencies : undefined,
      callbackUrl: options.callbackUrl,
      ownerAccessKey: options.owner,
      enqueueOnly: options.enqueueOnly,
      maxWaitSeconds: options.maxWait,
      reuseIfExists: !options.noReuse,
      environ: said(options.env, options.noEnv, Object.fromEntries),
      resources: said(options.resources, options.noResource, resourceMap),
      resourceOpts: said(options.resourceOpts, options.noResource, resourceMap),
      scalingGroup: options.scalingGroup,
      mounts: mountsOf(options.mounts, options.noMount),
    };
    return createAndTell({ io, globals }, name, (client, signal) =>
      whileWaiting(client, name, io, () =>
        client.session.createFromTemplate(args.template, overrides, signal),
      ),
    );
  },
});
