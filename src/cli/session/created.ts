/** Creates a session on behalf of a command, tells what came of it, and minds interruptions. */
import type { Client, CreatedSession } from '../../client/index.ts';
import type { CommandContext } from '../../common/command.ts';
import { printStatus, type StatusKind } from '../../common/glyphs.ts';
import { connect } from '../connect.ts';
import { printJson } from '../output/json.ts';
import { dieInterrupted, Interrupts } from '../run/interrupts.ts';

type Where = Pick<CommandContext, 'io' | 'globals'>;

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

function tell({ io, globals }: Where, name: string, created: CreatedSession): number {
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
      printStatus(io.stderr, 'info', `This session provides the following app services: ${apps}`);
    }
  }
  return kind === 'fail' ? 1 : 0;
}

/** @param make asks the server for the session. @returns the exit code. */
export async function createAndTell(
  where: Where,
  name: string,
  make: (client: Client, signal: AbortSignal) => Promise<CreatedSession>,
): Promise<number> {
  const { io } = where;
  const interrupts = new Interrupts();
  try {
    const client = await connect(where, { launch: true });
    return tell(where, name, await make(client, interrupts.leave));
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
}
