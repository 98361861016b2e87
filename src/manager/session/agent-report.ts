/** Translates an agent's outbox entry into a report for the state machine. */
import type { AgentEvent } from '../../common/protocol/manager.ts';
import type { Report } from './reports.ts';

/** The report that `event` of agent `reporter` makes. */
export function reportOf(reporter: string, event: AgentEvent): Report {
  const { kernelId, body } = event;
  const about = { kernelId, reporter };
  switch (body.kind) {
    case 'kernel-preparing':
      return { ...about, kind: 'preparing' };
    case 'kernel-pulling':
      return { ...about, kind: 'pulling' };
    case 'kernel-pulled':
      return { ...about, kind: 'pulled' };
    case 'kernel-creating':
      return { ...about, kind: 'creating' };
    case 'kernel-started':
      return { ...about, kind: 'started', info: body.info };
    case 'kernel-terminated': {
      const { reason, exitCode, message, logs } = body;
      return { ...about, kind: 'terminated', reason, exitCode, message, logs };
    }
    case 'batch-finished': {
      const result = body.result === 'success' ? 'SUCCESS' : 'FAILURE';
      const { reason, exitCode } = body;
      return { ...about, kind: 'batch-finished', result, reason, exitCode };
    }
  }
}
