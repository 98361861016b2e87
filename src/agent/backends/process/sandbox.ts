/**
 * The choice between the ways of building a sandbox: bubblewrap, the `unshare` program, or none where
 * the system forbids namespaces.
 */
import { errorMessage } from '../../../common/errors.ts';
import { bubblewrapCommand } from './bubblewrap.ts';
import type { SandboxKind, SandboxPlan } from './sandbox-plan.ts';
import { unshareCommand } from './unshare.ts';

/** Wraps a command so that it runs in the sandbox. */
export function sandboxCommand(
  kind: SandboxKind,
  plan: SandboxPlan,
  command: readonly string[],
): string[] {
  switch (kind) {
    case 'bubblewrap':
      return bubblewrapCommand(plan, command);
    case 'unshare':
      return unshareCommand(plan, command);
    case 'none':
      return [...command];
    default:
      return kind satisfies never;
  }
}

const PROBE_TIMEOUT_MS = 5_000;

async function tryCommand(command: readonly string[]): Promise<string | null> {
  try {
    const child = Bun.spawn([...command], {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
      env: { PATH: process.env.PATH },
      timeout: PROBE_TIMEOUT_MS,
    });
    const [complaint, exitCode] = await Promise.all([
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return exitCode === 0 ? null : complaint.trim().slice(0, 300) || `exit code ${exitCode}`;
  } catch (error) {
    return errorMessage(error);
  }
}

export interface SandboxChoice {
  readonly kind: SandboxKind;
  /** Why the better ways were passed over: one line each. */
  readonly reasons: string[];
}

/**
 * Finds the best sandbox that works here by building each kind once around `/bin/sh`.
 * @param only tries just this kind. @throws Error when that one does not work.
 */
export async function chooseSandbox(plan: SandboxPlan, only?: SandboxKind): Promise<SandboxChoice> {
  const reasons: string[] = [];
  const kinds: SandboxKind[] = only ? [only] : ['bubblewrap', 'unshare', 'none'];
  for (const kind of kinds) {
    const complaint = await tryCommand(sandboxCommand(kind, plan, ['/bin/sh', '-c', ':']));
    if (complaint === null) return { kind, reasons };
    reasons.push(`${kind}: ${complaint}`);
  }
  throw new Error(`no kernel can be started here (${reasons.join('; ')})`);
}
