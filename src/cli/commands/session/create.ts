/** `session create`: a session that stays until it is destroyed. */
import { argument, defineCommand, option, repeated } from '../../../common/command.ts';
import { systemRandom } from '../../../common/random.ts';
import { createSession } from '../../session/create.ts';
import { createAndTell } from '../../session/created.ts';
import { generatedName, sessionSpec, startOptions } from '../../session/start-options.ts';

export default defineCommand({
  positionals: { image: argument('IMAGE', 'Image or alias, e.g. python or python:3.11.') },
  options: {
    startupCommand: option(['-c', '--startup-command'], 'CMD', 'Command of a batch session.'),
    batchTimeout: option(
      ['--timeout', '--batch-timeout'],
      'TIME',
      'Longest time a batch session runs, e.g. 30s, 5m, 1h.',
    ),
    dependencies: repeated(['--depends'], 'UUID', 'Session that must succeed first.'),
    owner: option(
      ['-o', '--owner', '--owner-access-key'],
      'AK',
      'Create it for another keypair (administrators).',
    ),
    ...startOptions,
  },
  async run({ options, args, io, globals }) {
    const name = options.name ?? generatedName(systemRandom);
    return createAndTell({ io, globals }, name, async (client, signal) => {
      const spec = await sessionSpec(args.image, name, options, client.config);
      const whole = {
        ...spec,
        startupCommand: options.startupCommand,
        batchTimeout: options.batchTimeout,
        dependencies: options.dependencies.length > 0 ? options.dependencies : undefined,
        ownerAccessKey: options.owner,
      };
      return createSession(client, whole, io, { signal });
    });
  },
});
