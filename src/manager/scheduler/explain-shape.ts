/** An explanation as clients get it, through GraphQL and REST alike. */
import { formatAmount, formatSlots } from '../../common/slots.ts';
import type { Explanation } from './explain.ts';
import { NO_ROOM } from './obstacles.ts';
import type { Suggestion } from './suggestion.ts';

const listed = (parts: readonly string[]): string =>
  parts.length < 2
    ? parts.join('')
    : `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;

/** One sentence for people. */
function summarize(suggestion: Suggestion): string {
  const { resources, clusterSize, clusterMode } = suggestion;
  const caps = [...(resources ?? [])].map(([slot, cap]) =>
    cap === 0n ? `no ${slot}` : `${slot}=${formatAmount(cap)}`,
  );
  const parts = [
    ...(caps.length > 0 ? [`with at most ${listed(caps)} per kernel`] : []),
    ...(clusterSize === null
      ? []
      : [`with ${clusterSize} kernel${clusterSize === 1 ? '' : 's'} in all`]),
    ...(clusterMode === null ? [] : [`as a ${clusterMode} cluster`]),
    ...(suggestion.anyAgent ? ['on any agent'] : []),
    ...(suggestion.startNow ? ['without a start time'] : []),
    ...(suggestion.withoutDependencies ? ['without its dependencies'] : []),
  ];
  return `It would start now ${listed(parts)}.`;
}

function shapeSuggestion(suggestion: Suggestion) {
  return {
    summary: summarize(suggestion),
    resources: suggestion.resources && formatSlots(suggestion.resources),
    cluster_size: suggestion.clusterSize,
    cluster_mode: suggestion.clusterMode,
    any_agent: suggestion.anyAgent,
    start_now: suggestion.startNow,
    without_dependencies: suggestion.withoutDependencies,
  };
}

/** @param hideAgents whether the reader may not learn which agents there are. */
export function shapeExplanation(explanation: Explanation, hideAgents: boolean) {
  const { failed, closest, suggestion, agents } = explanation;
  return {
    session_id: explanation.sessionId,
    starts_now: failed.length === 0,
    agent_ids: hideAgents ? [] : [...agents],
    failed_rules: failed.map(({ name, msg }) => ({
      name,
      // The full text of this one names agents.
      message: hideAgents && name === NO_ROOM ? 'No agent has room for it.' : msg,
    })),
    passed_rules: [...explanation.passed],
    queue_position: explanation.position,
    queue_length: explanation.queueLength,
    is_behind_reservation: explanation.isBehindReservation,
    has_reservation: explanation.hasReservation,
    closest_agents: closest.map(
      ({ kernelIds, agentId, architecture, lacksImage, isFull, shortages }) => ({
        kernel_ids: [...kernelIds],
        agent_id: hideAgents ? null : agentId,
        wrong_architecture: architecture,
        lacks_image: lacksImage,
        has_too_many_sessions: isFull,
        missing: shortages.map(({ slot, requested, available }) => ({
          slot,
          requested: formatAmount(requested),
          available: formatAmount(available),
          missing: formatAmount(requested - available),
        })),
      }),
    ),
    preemption: explanation.preemption,
    estimated_start: explanation.estimatedStart,
    suggestion: suggestion && shapeSuggestion(suggestion),
  };
}
