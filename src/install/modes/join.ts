/** `join`: this machine becomes an agent of a cluster that runs elsewhere. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../common/clock.ts';
import { UserError } from '../../common/errors.ts';
import { checkoutRoot } from '../../common/executable.ts';
import { VERSION } from '../../common/version.ts';
import { type InstallInfo, type Layout, layoutOf, writeInfo } from '../layout.ts';
import {
  dockerCheck,
  folderCheck,
  managerCheck,
  platformCheck,
  portCheck,
  tokenCheck,
} from '../parts/checks.ts';
import { runInstalled } from '../parts/data.ts';
import { executableStep, notNewerCheck } from '../parts/executable.ts';
import { adopt, servicesOf } from '../parts/services.ts';
import type { InstallRequest } from '../request.ts';
import type { Plan, Step } from '../step.ts';
import {
  type Environment,
  rebootLines,
  startSteps,
  undoLine,
  unitSteps,
  usesUnits,
} from './servers.ts';

/** From the agent's start until the manager took a heartbeat: images are looked at in between. */
const HEARD_TIMEOUT_MS = 60_000;
const PROBE_TIMEOUT_MS = 2_000;
const POLL_MS = 100;

const configPath = (layout: Layout): string => join(layout.config, 'agent.toml');

function infoOf(request: InstallRequest, clock: Clock): InstallInfo {
  const { manager, agentId, advertise } = request.join;
  return {
    version: VERSION,
    type: checkoutRoot === null ? 'package' : 'source',
    last_updated: clock.now().toISOString(),
    base_path: request.targetPath,
    mode: 'join',
    env_id: request.envId,
    public_address: request.publicAddress,
    agent_backend: request.agentBackend,
    halfstack: 'none',
    join: { manager, agent_id: agentId, advertise },
    ports: { agentRpc: request.ports.agentRpc, agentService: request.ports.agentService },
  };
}

/** Keys are exchanged and agent.toml is written, at once and last: there it is, the machine has joined. */
function joinStep(request: InstallRequest, layout: Layout): Step {
  const { join: wish, ports, agentBackend } = request;
  return {
    id: 'join',
    title: `Join the cluster as ${wish.agentId}`,
    isDone: async () => existsSync(configPath(layout)),
    async run(context) {
      mkdirSync(layout.config, { recursive: true });
      await runInstalled(
        layout,
        [
          ...['ag', 'join', wish.manager, '--id', wish.agentId, '--backend', agentBackend],
          ...['--config-dir', layout.config, '--state-dir', join(layout.state, 'agent')],
          ...['--rpc-port', String(ports.agentRpc), '--service-port', String(ports.agentService)],
          ...(wish.advertise === null ? [] : ['--advertise', wish.advertise]),
          // An installer that was killed may have left the same command running.
          '--overwrite',
        ],
        context,
        // Not an argument: other users would see it in the list of processes.
        { env: { BACKEND_JOIN_TOKEN: wish.token } },
      );
    },
  };
}

/** The agent says at its service address whether the manager hears it. */
function heardStep(layout: Layout, { ports }: InstallInfo, { clock }: Environment): Step {
  const isHeard = async () => {
    try {
      const reply = await fetch(`http://127.0.0.1:${ports.agentService}/readyz`, {
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      });
      return reply.ok;
    } catch {
      // It is still starting.
      return false;
    }
  };
  return {
    id: 'heard',
    title: 'Wait until the manager hears it',
    async run(context) {
      const deadlineMs = clock.monotonicMs() + HEARD_TIMEOUT_MS;
      while (!(await isHeard())) {
        context.signal.throwIfAborted();
        if (clock.monotonicMs() > deadlineMs) {
          throw new UserError(`The manager has not heard it for ${HEARD_TIMEOUT_MS / 1000} s.`, {
            hint: `Why is in the agent's log: ${layout.logs}, ${layout.config}, or journalctl.`,
          });
        }
        await clock.sleep(POLL_MS, context.signal);
      }
    },
  };
}

export function joinPlan(request: InstallRequest, environment: Environment): Plan {
  const layout = layoutOf(request.targetPath);
  const info = infoOf(request, environment.clock);
  const { manager, agentId, token } = request.join;
  const [agent] = servicesOf(info);
  const isOurs = () => agent !== undefined && adopt(layout, agent) !== null;
  const byUnits = usesUnits(info.mode, environment);
  const isJoined = existsSync(configPath(layout));
  const record: Step = {
    id: 'record',
    title: `Write down what was installed`,
    async run() {
      for (const folder of [layout.state, layout.logs]) mkdirSync(folder, { recursive: true });
      writeInfo(layout, info);
    },
  };
  return {
    title: 'Node of a cluster',
    summary: [
      `This machine becomes the agent ${agentId} of the cluster of ${manager || '(which manager?)'}.`,
      `Everything goes to ${layout.root}.`,
      `Sessions of the agent: ${request.agentBackend}.`,
      request.start
        ? `The agent is started ${byUnits ? 'as a service of the system' : 'in the background'}.`
        : 'Nothing is started.',
      undoLine(request, layout.root),
    ],
    checks: [
      platformCheck(),
      folderCheck(request.targetPath),
      notNewerCheck(layout.executable, environment.signal),
      ...(request.agentBackend === 'docker' ? [dockerCheck()] : []),
      managerCheck(manager, environment.clock),
      tokenCheck(token, isJoined),
      portCheck(request.ports.agentRpc, 'agent', '--agent-rpc-port', isOurs),
    ],
    logFile: layout.installLog,
    steps: [
      executableStep(layout.executable),
      record,
      joinStep(request, layout),
      ...unitSteps(info, layout, environment),
      ...(request.start && !byUnits ? startSteps(info, layout, environment) : []),
      ...(request.start ? [heardStep(layout, info, environment)] : []),
    ],
    report: async () => [
      {
        title: 'Node',
        lines: [
          `Agent    ${agentId}, port ${request.ports.agentRpc}`,
          `Manager  ${manager}`,
          `Folder   ${layout.root}`,
          '',
          `${layout.executable} dev status --target-path ${layout.root}`,
          `${layout.executable} dev log agent --target-path ${layout.root}`,
          ...rebootLines(info, layout, environment),
          '',
          'To take it away: at the manager "backend.ai admin agent" shows it; here',
          `${layout.executable} install --mode maintain --action uninstall --target-path ${layout.root}`,
          `then, at the manager, backend.ai mgr agent revoke ${agentId}`,
        ],
      },
    ],
  };
}
