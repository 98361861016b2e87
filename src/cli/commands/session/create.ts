/** `session create`: a session that stays until it is destroyed. */
import type { CreatedSession } from '../../../client/index.ts';
import { argument, defineCommand, option, repeated } from '../../../common/command.ts';
import { systemRandom } from '../../../common/random.ts';
import { connect } from '../../connect.ts';
import { printStatus, type StatusKind } from '../../framework/glyphs.ts';
import { printJson } from '../../output/json.ts';
import { dieInterrupted, Interrupts } from '../../run/interrupts.ts';
import { createSession } from '../../session/create.ts';
import { generatedName, sessionSpec, startOptions } from '../../session/start-options.ts';

/** What the server's answer means, in words. */
function outcome(session: CreatedSession): readonly [StatusKind, string] {
  const subject = `Session ID ${session.sessionId}`;
  switch (session.status) {
    case 'RUNNING':
      return session.created
        ? ['info', `${subject} is created and ready.`]
        : ['info', `${subject} is already running and ready.`];
    case 'PENDING':
      return ['info', `${subject} is enqueued for scheduling.`];
    case 'SCHEDULED':
      return ['info', `${subject} is scheduled and about to be started.`];
    case 'PREPARED':
      return ['info', `${subject} is prepared and about to be started.`];
    case 'PREPARING':
    case 'PULLING':
      return ['info', `${subject} is in preparation and about to be started.`];
    case 'CREATING':
      return ['info', `${subject} is being created and about to be started.`];
    case 'TERMINATED':
      return ['warn', `${subject} is already terminated.`];
    case 'TIMEOUT':
      return ['info', `${subject} is still on the job queue.`];
    case 'ERROR':
    case 'CANCELLED':
      return ['fail', `${subject} has an error during scheduling or startup, or was cancelled.`];
    default:
      return ['info', `${subject} is ${session.status}.`];
  }
}

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
    const interrupts = new Interrupts();
    const name = options.name ?? generatedName(systemRandom);
    try {
      const client = await connect({ io, globals }, { launch: true });
      const spec = await sessionSpec(args.image, name, options, client.config);
      const created = await createSession(
        client,
        {
          ...spec,
          startupCommand: options.startupCommand,
          batchTimeout: options.batchTimeout,
          dependencies: options.dependencies.length > 0 ? options.dependencies : undefined,
          ownerAccessKey: options.owner,
        },
        io,
        { signal: interrupts.leave },
      );
      const [kind, text] = outcome(created);
      if (globals.output === 'json') {
        printJson(io, {
          session_id: created.sessionId,
          name: created.sessionName ?? name,
          status: created.status,
          created: created.created,
          service_ports: created.servicePorts ?? [],
        });
      } else {
        printStatus(io.stderr, kind, text);
        const apps = (created.servicePorts ?? []).map((port) => port.name).join(', ');
        if (apps !== '') {
          printStatus(
            io.stderr,
            'info',
            `This session provides the following app services: ${apps}`,
          );
        }
      }
      return kind === 'fail' ? 1 : 0;
    } catch (error) {
      if (!interrupts.leave.aborted) throw error;
      interrupts.close();
      printStatus(
        io.stderr,
        'info',
        `Session ${name} may still start; \`backend.ai rm ${name}\` gives it up.`,
      );
      return await dieInterrupted();
    } finally {
      interrupts.close();
    }
  },
});
