/** `mgr agent`: whether an agent answers this manager's calls; and an end to trusting one. */
import { systemClock } from '../../common/clock.ts';
import { argument, decimal, defineCommand, optionWithDefault } from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { systemRandom } from '../../common/random.ts';
import { loadKeys } from '../../common/rpc/keys.ts';
import { pingAgent } from '../agent/ping.ts';
import { distrustAgent } from '../agent/trust.ts';
import { httpAgentDirectory } from '../agent-link.ts';
import { configOptions, readConfig, withConfigStore, withTables } from './context.ts';
import { keyFile } from './keys.ts';
import { invocationOf, options as schemaOptions } from './schema.ts';

async function within<T>(seconds: number, work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const tooLate = () => reject(new UserError(`${what} did not answer within ${seconds} s.`));
    timer = setTimeout(tooLate, seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export const ping = defineCommand({
  help: 'Call an agent with the keys of this manager, at the address that it told last.',
  options: {
    ...schemaOptions,
    timeout: optionWithDefault(['-t', '--timeout'], 'SEC', 'Longest wait.', 10, decimal),
  },
  positionals: { agentId: argument('AGENT_ID', 'Id of the agent.') },
  async run({ options: { config, timeout }, args: { agentId }, io }) {
    const invocation = invocationOf(io, config);
    const keys = await loadKeys(keyFile(readConfig(invocation), io));
    return withTables(invocation, async (sql, log) => {
      const link = { keys, clock: systemClock, random: systemRandom, log };
      const call = pingAgent(sql, httpAgentDirectory(link), agentId);
      const { version, addr } = await within(timeout, call, `Agent ${agentId}`);
      io.stdout.write(`Agent ${agentId} answers at ${addr} (version ${version}).\n`);
      return 0;
    });
  },
});

export const revoke = defineCommand({
  help: 'No longer trust an agent: its calls are refused from now on. What it runs goes on until the manager counts it as lost. It may join again with a token.',
  options: configOptions,
  positionals: { agentId: argument('AGENT_ID', 'Id of the agent.') },
  async run({ options: { config }, args: { agentId }, io }) {
    const wasKnown = await withConfigStore({ io, configPath: config }, (store) =>
      distrustAgent(store, agentId),
    );
    if (!wasKnown) {
      throw new UserError(`No agent ${agentId} is known.`, {
        hint: 'backend.ai admin agent list shows the agents.',
      });
    }
    io.stdout.write(`Agent ${agentId} is no longer trusted.\n`);
    return 0;
  },
});
