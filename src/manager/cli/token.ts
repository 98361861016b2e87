/** `mgr token`: tokens with which new agents join. */
import { systemClock } from '../../common/clock.ts';
import {
  argument,
  defineCommand,
  integer,
  optionWithDefault,
  UsageError,
} from '../../common/command.ts';
import { UserError } from '../../common/errors.ts';
import { formatToken } from '../../common/protocol/join.ts';
import { systemRandom } from '../../common/random.ts';
import { loadOrCreateKeys } from '../../common/rpc/keys.ts';
import { parseDurationMs } from '../../common/sizes.ts';
import { createJoinToken, listJoinTokens, revokeJoinToken } from '../agent/join.ts';
import { configOptions, readConfig, withConfigStore } from './context.ts';
import { keyFile } from './keys.ts';

const DEFAULT_TTL_MS = 3_600_000;
const MAX_USES = 10_000;

const duration = (text: string): number => {
  const ms = parseDurationMs(text);
  if (ms !== null && ms > 0) return ms;
  throw new UsageError(`'${text}' is not a duration such as 30m, 12h or 7d.`);
};

export const create = defineCommand({
  help: 'Make a token with which new agents join: on their machines, `backend.ai ag join MANAGER --token TOKEN`. Agents that join with it trust this manager, and this manager them. It is shown once.',
  options: {
    ...configOptions,
    ttl: optionWithDefault(['--ttl'], 'TIME', 'How long it counts.', DEFAULT_TTL_MS, duration),
    uses: optionWithDefault(
      ['--uses'],
      'NUM',
      'How many agents may join with it.',
      1,
      integer({ min: 1, max: MAX_USES }),
    ),
    scalingGroup: optionWithDefault(
      ['--scaling-group'],
      'NAME',
      'The resource group that they serve.',
      'default',
      String,
    ),
  },
  async run({ options, io, globals }) {
    const invocation = { io, configPath: options.config };
    const settings = readConfig(invocation);
    const { publicKey } = await loadOrCreateKeys(keyFile(settings, io));
    const made = await withConfigStore(invocation, (store) =>
      createJoinToken(
        store,
        { clock: systemClock, random: systemRandom },
        { scalingGroup: options.scalingGroup, uses: options.uses, ttlMs: options.ttl },
      ),
    );
    const token = formatToken({ ...made, managerPublicKey: publicKey });
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ id: made.id, token }, null, 2)}\n`);
      return 0;
    }
    io.stdout.write(`${token}\n`);
    const { port } = settings.internalAddr;
    io.stderr.write(
      `On the machine of the new agent: backend.ai ag join HOST:${port} --token ${token.slice(0, 12)}…\n`,
    );
    return 0;
  },
});

export const list = defineCommand({
  options: configOptions,
  async run({ options, io, globals }) {
    const tokens = await withConfigStore({ io, configPath: options.config }, (store) =>
      listJoinTokens(store, systemClock),
    );
    if (globals.output === 'json') {
      io.stdout.write(`${JSON.stringify({ items: tokens }, null, 2)}\n`);
      return 0;
    }
    for (const { id, scalingGroup, usesLeft, expiresAtMs, isExpired } of tokens) {
      const until = new Date(expiresAtMs).toISOString();
      const state = isExpired ? 'expired' : `${usesLeft} left`;
      io.stdout.write(`${id}  ${state.padEnd(8)}  until ${until}  ${scalingGroup}\n`);
    }
    return 0;
  },
});

export const revoke = defineCommand({
  options: configOptions,
  positionals: { id: argument('ID', 'Id of the token, as `mgr token list` shows it.') },
  async run({ options, args: { id }, io }) {
    const existed = await withConfigStore({ io, configPath: options.config }, (store) =>
      revokeJoinToken(store, id),
    );
    if (!existed) throw new UserError(`There is no token ${id}.`);
    io.stdout.write(`Token ${id} is of no more use.\n`);
    return 0;
  },
});
