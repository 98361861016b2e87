/** `admin manager`: whether the cluster takes changes, and which agents take sessions. */
import type { Client } from '../../../client/index.ts';
import {
  type Command,
  type CommandContext,
  defineCommand,
  flag,
  restArguments,
} from '../../../common/command.ts';
import { UserError } from '../../../common/errors.ts';
import { printStatus, WaitingLine } from '../../../common/glyphs.ts';
import { connectAdmin } from '../../connect.ts';
import { printJson } from '../../output/json.ts';
import { formatTable } from '../../output/table.ts';

const INVALID_ARGUMENT_EXIT_CODE = 4;
/** Between two looks at how many sessions are left. Milliseconds. */
const POLL_INTERVAL_MS = 1_000;

export const status = defineCommand({
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    const found = await client.cluster.status();
    if (globals.output === 'json') printJson(io, found);
    else {
      const row = [found.status, String(found.active_sessions)];
      io.stdout.write(formatTable(['Status', 'Active Sessions'], [row]));
    }
    return 0;
  },
});

/** Lasts as long as people's sessions do; Ctrl-C ends it. */
async function untilNoSessions(client: Client, { io }: Pick<CommandContext, 'io'>): Promise<void> {
  const waiting = new WaitingLine(io.stderr);
  for (;;) {
    const { active_sessions: left } = await client.cluster.status();
    if (left === 0) break;
    waiting.show(`Waiting until all sessions are over (${left} left)...`);
    await Bun.sleep(POLL_INTERVAL_MS);
  }
  waiting.clear();
  printStatus(io.stderr, 'done', 'All sessions are over.');
}

export const freeze = defineCommand({
  help: 'Take no more changes: no new sessions, accounts or folders, as for maintenance.',
  options: {
    wait: flag(['--wait'], 'First wait until no session is left.'),
    forceKill: flag(['--force-kill'], 'Also end all sessions.'),
  },
  async run({ options, io, globals }) {
    if (options.wait && options.forceKill) {
      throw new UserError('--wait and --force-kill exclude each other.');
    }
    const client = await connectAdmin({ io, globals }, { announces: false });
    if (options.wait) await untilNoSessions(client, { io });
    await client.cluster.setStatus('frozen', options.forceKill);
    if (globals.output === 'json') printJson(io, { status: 'frozen' });
    else printStatus(io.stderr, 'done', 'The manager is frozen.');
    return 0;
  },
});

export const unfreeze = defineCommand({
  help: 'Take changes again.',
  async run({ io, globals }) {
    const client = await connectAdmin({ io, globals }, { announces: false });
    await client.cluster.setStatus('running');
    if (globals.output === 'json') printJson(io, { status: 'running' });
    else printStatus(io.stderr, 'done', 'The manager runs again.');
    return 0;
  },
});

const scheduling = (schedulable: boolean, done: string, help: string): Command =>
  defineCommand({
    help,
    positionals: { agents: restArguments('AGENT_IDS', 'Ids of agents.') },
    async run({ args, io, globals }) {
      if (args.agents.length === 0) {
        throw new UserError('Name at least one agent.', {
          hint: 'Ids of agents: `backend.ai admin agent list`.',
          exitCode: INVALID_ARGUMENT_EXIT_CODE,
        });
      }
      const client = await connectAdmin({ io, globals }, { announces: false });
      await client.cluster.setSchedulable(args.agents, schedulable);
      if (globals.output === 'json') printJson(io, { ok: true, agents: args.agents });
      else printStatus(io.stderr, 'done', done);
      return 0;
    },
  });

export const includeAgents = scheduling(
  true,
  'The given agents now take new sessions.',
  'Let agents take new sessions.',
);
export const excludeAgents = scheduling(
  false,
  'The given agents take no new sessions.',
  'Let agents take no new sessions, also after they restart, until they are included again.',
);
