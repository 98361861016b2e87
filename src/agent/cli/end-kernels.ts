/** `ag end-kernels`: what an agent that is taken away leaves running is ended, and every trace removed. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { defineCommand, option } from '../../common/command.ts';
import { errorMessage, UserError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { commandLogger, logLevelOption } from '../../logging/options.ts';
import { openBackend } from '../backends/open.ts';
import { loadAgentConfig } from '../config-file.ts';

/** Time that programs in a kernel get to end by themselves. */
const GRACE_MS = 2_000;
const HEALTH_TIMEOUT_MS = 2_000;

/** Whether an agent answers where this one serves its health: it would start anew what is ended here. */
async function isAgentRunning(port: number): Promise<boolean> {
  try {
    const reply = await fetch(`http://127.0.0.1:${port}/health`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    return (await reply.text()).includes('"agent"');
  } catch {
    // Nobody answers.
    return false;
  }
}

export default defineCommand({
  help: 'End all kernels of this machine, when its agent has stopped for good. The manager ends their sessions once the agent counts as lost.',
  options: {
    config: option(
      ['-f', '--config-path', '--config'],
      'FILE',
      'Configuration of the agent. [default: agent.toml, looked for in the usual places]',
    ),
    logLevel: logLevelOption,
  },
  async run({ options, io, globals }) {
    const log = commandLogger('ag', io, options.logLevel ?? 'warning');
    const { settings } = loadAgentConfig({
      explicitPath: options.config === undefined ? undefined : resolve(io.cwd, options.config),
      places: { cwd: io.cwd, home: io.env.HOME || homedir() },
      env: io.env,
    });
    if (await isAgentRunning(settings.serviceAddr.port)) {
      throw new UserError('The agent runs.', { hint: 'Stop it first.' });
    }
    const stateDir = resolve(io.cwd, settings.varBasePath, settings.id);
    const ended: string[] = [];
    const failed: string[] = [];
    if (existsSync(stateDir)) {
      const parts = { clock: systemClock, random: systemRandom, log };
      const backend = await openBackend({ settings, stateDir, ...parts });
      try {
        for (const { kernelId } of await backend.list()) {
          await backend.destroy(kernelId, GRACE_MS).then(
            () => ended.push(kernelId),
            (error) => failed.push(`${kernelId}: ${errorMessage(error)}`),
          );
        }
      } finally {
        await backend.close();
      }
    }
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ ended, failed }, null, 2)}\n`);
    } else {
      io.stdout.write(
        `${ended.length} ${ended.length === 1 ? 'kernel was' : 'kernels were'} ended.\n`,
      );
    }
    if (failed.length === 0) return 0;
    throw new UserError(`Some kernels could not be ended:\n${failed.join('\n')}`, {
      hint: 'Run the same command again.',
    });
  },
});
