/** `pending_explanation` of a session: why it waits and what would start it. Not upstream's. */
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { Explanation } from './explain.ts';
import { explainSessions, hidesAgents } from './explain-service.ts';
import { shapeExplanation } from './explain-shape.ts';

const explanations = batched<string, Explanation>((ids, { ctx }) => explainSessions(ctx, ids));

export const explainGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    extend type ComputeSessionNode {
      """Why the session waits, and what would start it; null unless it is PENDING."""
      pending_explanation: SessionPendingExplanation
    }

    type SessionPendingExplanation {
      """The next pass of the scheduler starts it."""
      starts_now: Boolean!
      """Where it starts then."""
      agent_ids: [String!]!
      failed_rules: [SessionSchedulingRule!]!
      passed_rules: [String!]!
      """From 1, in the resource group."""
      queue_position: Int!
      queue_length: Int!
      """Agents are kept free for a session that has waited longer."""
      is_behind_reservation: Boolean!
      """Agents are kept free for this session."""
      has_reservation: Boolean!
      closest_agents: [SessionClosestAgent!]!
      """Sessions that make room for it, or could; null: there are none, or it needs none."""
      preemption: SessionPreemptionOutlook
      """By the known ends of other sessions; null: cannot be known."""
      estimated_start: DateTime
      """The smallest change with which it would start now; null: none would help."""
      suggestion: SessionRequestSuggestion
    }

    type SessionPreemptionOutlook {
      """
      'waiting': they leave already; 'next': the next pass of the scheduler makes them leave;
      'disabled': they could be made to leave if the resource group let them be preempted.
      """
      state: String!
      sessions: Int!
    }

    type SessionSchedulingRule {
      name: String!
      message: String!
    }

    """The agent that comes closest to taking some of the kernels."""
    type SessionClosestAgent {
      kernel_ids: [ID!]!
      """null where agents are hidden."""
      agent_id: String
      """The agent's architecture, where the image needs another one."""
      wrong_architecture: String
      """It does not have the image, which no registry has either."""
      lacks_image: Boolean!
      has_too_many_sessions: Boolean!
      missing: [SessionMissingSlot!]!
    }

    type SessionMissingSlot {
      slot: String!
      requested: String!
      available: String!
      missing: String!
    }

    type SessionRequestSuggestion {
      summary: String!
      """Most of each slot that a kernel may ask for; slots left out stay as they are."""
      resources: JSONString
      cluster_size: Int
      cluster_mode: String
      any_agent: Boolean!
      start_now: Boolean!
      without_dependencies: Boolean!
    }
  `,
  resolvers: {
    ComputeSessionNode: {
      pending_explanation: async ({ id, status }, _args, context) => {
        if (status !== 'PENDING') return null;
        const explanation = await explanations(context, id);
        return (
          explanation && shapeExplanation(explanation, hidesAgents(context.ctx, context.caller))
        );
      },
    },
  },
};
